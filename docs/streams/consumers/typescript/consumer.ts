// Reads one event type through a consumer group of its own; docs/streams.md says what it relies on.
import { createClient } from "redis";

const STREAM = "er:{visma-net-financial/customer_changed}:events";
const GROUP = "crm-typescript";
const BATCH = 10;
const IDLE = 60_000; // milliseconds; longer than a batch takes: an entry held for longer is claimed

type Event = { id: string; type: string; resource?: string; company_id?: string };
type Entry = { id: string; message: Record<string, string> };

/** Does the work; an event may come twice, so it must be idempotent by its id. */
async function handle(event: Event): Promise<void> {
  console.log(event.id, event.type, event.resource ?? "", event.company_id ?? "");
}

const client = createClient({ url: process.env.REDIS_URL });
await client.connect();
const consumer = process.env.CONSUMER ?? ""; // unique in the group, and the same after a restart
try {
  await client.xGroupCreate(STREAM, GROUP, "0", { MKSTREAM: true });
} catch (error) {
  if (!String(error).includes("BUSYGROUP")) throw error;
}
for (let next = "0", cursor = "0-0"; ; ) { // first its own pending entries, then new ones: ">"
  const read = await client.xReadGroup(GROUP, consumer, { key: STREAM, id: next }, { COUNT: BATCH, BLOCK: 5000 });
  const entries = (read as { messages: Entry[] }[] | null)?.[0]?.messages ?? [];
  if (next !== ">") next = entries.at(-1)?.id ?? ">";
  const claim = await client.xAutoClaim(STREAM, GROUP, consumer, IDLE, cursor, { COUNT: BATCH });
  cursor = claim.nextId;
  for (const { id, message } of [...entries, ...claim.messages.filter((entry) => entry !== null)]) {
    try {
      await handle(JSON.parse(message.event) as Event);
      await client.xAck(STREAM, GROUP, id);
    } catch (error) {
      console.error(`entry ${id} stays pending, and is claimed later: ${error}`);
    }
  }
}
