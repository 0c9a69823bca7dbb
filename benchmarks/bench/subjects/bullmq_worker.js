// BullMQ; with `fill FILE`, what adds the bodies in the file. Notes what it handles as ledger.py does.
const fs = require('fs');
const { Queue, Worker } = require('bullmq');

const { hostname, port } = new URL(process.env.REDIS_URL);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const expected = Number(process.env.EXPECTED);
const delay = Number(process.env.DELAY || 0);
const seen = new Set();
let calls = 0;
let first;
let firstCpu;

function note(id) {
  if (!calls) {
    first = process.hrtime.bigint();
    firstCpu = process.cpuUsage();
  }
  calls += 1;
  seen.add(id);
  if (seen.size === expected) {
    const last = process.hrtime.bigint();
    const { user, system } = process.cpuUsage(firstCpu);
    const outcome = { first: Number(first), last: Number(last), calls, cpu: (user + system) / 1e6, ids: [...seen] };
    fs.writeFileSync(`${process.env.LEDGER}.part`, JSON.stringify(outcome));
    fs.renameSync(`${process.env.LEDGER}.part`, process.env.LEDGER);
  }
}

async function fill(file) {
  const queue = new Queue('events', { connection });
  const lines = fs.readFileSync(file, 'utf8').split('\n').filter(Boolean);
  for (let start = 0; start < lines.length; start += 1000) {
    const jobs = lines.slice(start, start + 1000).map((line) => ({ name: 'event', data: JSON.parse(line) }));
    await queue.addBulk(jobs);
  }
  await queue.close();
}

function work() {
  const handle = async (job) => {
    note(job.data.NotificationId);
    if (delay) {
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  };
  const options = { connection, concurrency: Number(process.env.CONCURRENCY), removeOnComplete: { count: 0 } };
  const worker = new Worker('events', handle, options);
  process.on('SIGTERM', () => worker.close(true).then(() => process.exit(0)));
}

if (process.argv[2] === 'fill') {
  fill(process.argv[3]);
} else {
  work();
}
