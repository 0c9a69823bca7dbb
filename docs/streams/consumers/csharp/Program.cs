// Reads one event type through a consumer group of its own; docs/streams.md says what it relies on.
using System.Text.Json;
using StackExchange.Redis;

const string Stream = "er:{visma-net-financial/customer_changed}:events";
const string Group = "crm-csharp";
const int Batch = 10;
const long Idle = 60_000; // milliseconds; longer than a batch takes: an entry held for longer is claimed

var names = new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, MaxDepth = 128 };
using var redis = await ConnectionMultiplexer.ConnectAsync(Environment.GetEnvironmentVariable("REDIS")!);
var db = redis.GetDatabase();
var consumer = Environment.GetEnvironmentVariable("CONSUMER")!; // unique in the group, and the same after a restart
try
{
    await db.StreamCreateConsumerGroupAsync(Stream, Group, StreamPosition.Beginning, createStream: true);
}
catch (RedisServerException error) when (error.Message.StartsWith("BUSYGROUP"))
{
    // the group is there already
}

RedisValue fresh = ">", next = "0-0", cursor = "0-0";
while (true) // first its own pending entries, then new ones: ">"
{
    var entries = await db.StreamReadGroupAsync(Stream, Group, consumer, next, count: Batch);
    if (next != fresh)
        next = entries.Length == 0 ? fresh : entries[^1].Id;
    var claim = await db.StreamAutoClaimAsync(Stream, Group, consumer, Idle, cursor, Batch);
    cursor = claim.NextStartId;
    foreach (var entry in entries.Concat(claim.ClaimedEntries))
    {
        try
        {
            await HandleAsync(JsonSerializer.Deserialize<Event>(entry["event"].ToString(), names)!);
            await db.StreamAcknowledgeAsync(Stream, Group, entry.Id);
        }
        catch (Exception error)
        {
            Console.Error.WriteLine($"entry {entry.Id} stays pending, and is claimed later: {error.Message}");
        }
    }
    if (entries.Length == 0)
        await Task.Delay(500); // this client shares one connection, so no command may block on it
}

// Does the work; an event may come twice, so it must be idempotent by its Id.
static Task HandleAsync(Event found) =>
    Console.Out.WriteLineAsync($"{found.Id} {found.Type} {found.Resource} {found.CompanyId}");

internal record Event(string Id, string Type, string? Resource, string? CompanyId);
