// Receives what `event-router forward` posts; docs/forward-receivers.md says how to run it.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, IncomingMessage } from "node:http";
import { AddressInfo } from "node:net";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const HANDLED = "handled";
const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? "");

interface Event {
  type: string;
  subject?: string;
  companyid?: string;
}

/** Does the work, and throws where it fails: the event comes again. */
async function handle(id: string, event: Event): Promise<void> {
  console.log(id, event.type, event.subject ?? "", event.companyid ?? "");
}

async function answered(request: IncomingMessage): Promise<number> {
  if (request.method !== "POST") return 405;
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  // The bytes as they came: parsed and written again they have another signature.
  const event = webhook.verify(Buffer.concat(chunks), request.headers as Record<string, string>) as Event;
  // An event may come twice. A unique id in a table, written in the transaction of the work, does this without a gap.
  const id = request.headers["webhook-id"] as string;
  const file = `${HANDLED}/${createHash("sha256").update(id).digest("hex")}`;
  if (!existsSync(file)) {
    await handle(id, event);
    mkdirSync(HANDLED, { recursive: true });
    writeFileSync(file, id);
  }
  return 204;
}

const server = createServer(async (request, response) => {
  try {
    response.statusCode = await answered(request);
  } catch (error) {
    console.error(error);
    response.statusCode = error instanceof WebhookVerificationError ? 401 : 500;
  }
  response.end();
});
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.error(`listens at http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
