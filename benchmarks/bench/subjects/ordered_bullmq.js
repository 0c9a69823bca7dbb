// BullMQ as it is free: a queue with attempts and a fixed delay between them. CONCURRENCY is its own option; with LIMITED=1
// its limiter lets one job pass in each 25 ms. Groups are in its commercial version only. Notes as ordered.py does.
const fs = require('fs');
const { Queue, Worker } = require('bullmq');

const { hostname, port } = new URL(process.env.REDIS_URL);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const keys = Number(process.env.KEYS);
const events = Number(process.env.EVENTS);

function note(key, number, what) {
  fs.appendFileSync(process.env.LEDGER, `${JSON.stringify([key, number, what, performance.now() / 1000])}\n`);
}

async function handle(job) {
  const { key, number } = job.data;
  note(key, number, 'began');
  await new Promise((resolve) => setTimeout(resolve, 20));
  if (number === 0 && job.attemptsMade === 0) {
    note(key, number, 'failed');
    throw new Error('not yet');
  }
  note(key, number, 'ended');
}

async function main() {
  const queue = new Queue('ordered', { connection });
  const opts = { attempts: 5, backoff: { type: 'fixed', delay: 200 } };
  for (let key = 0; key < keys; key += 1) {
    for (let number = 0; number < events; number += 1) {
      await queue.add('event', { key: `customer-${key}`, number }, opts);
    }
  }
  const limiter = process.env.LIMITED === '1' ? { max: 1, duration: 25 } : undefined;
  new Worker('ordered', handle, { connection, concurrency: Number(process.env.CONCURRENCY), limiter });
}

main();
