// Receives what `event-router forward` posts; docs/forward-receivers.md says how to run it.
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

const string Handled = "handled";
const long Tolerance = 300; // seconds that the sender's clock and ours may differ

var secret = Environment.GetEnvironmentVariable("WEBHOOK_SECRET") ?? "";
var key = Convert.FromBase64String(secret.StartsWith("whsec_") ? secret["whsec_".Length..] : secret);
if (key.Length == 0)
    throw new InvalidOperationException("set WEBHOOK_SECRET to the secret of the forward: whsec_…");

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.UseUrls($"http://127.0.0.1:{Environment.GetEnvironmentVariable("PORT") ?? "3000"}");
var app = builder.Build();

app.MapPost("/{**path}", async (HttpRequest request) =>
{
    using var content = new MemoryStream();
    await request.Body.CopyToAsync(content);
    var body = content.ToArray(); // the bytes as they came: parsed and written again they have another signature
    if (!Verified(request.Headers, body))
        return Results.StatusCode(401);
    // An event may come twice. A unique id in a table, written in the transaction of the work, does this without a gap.
    var id = request.Headers["webhook-id"].ToString();
    var file = Path.Combine(Handled, Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(id))));
    if (!File.Exists(file))
    {
        using var json = JsonDocument.Parse(body);
        await HandleAsync(id, json.RootElement);
        Directory.CreateDirectory(Handled);
        await File.WriteAllTextAsync(file, id);
    }
    return Results.NoContent();
});
app.Run();

// Tells whether the body is signed with the secret, after Standard Webhooks: one matching signature is enough.
bool Verified(IHeaderDictionary headers, byte[] body)
{
    var id = headers["webhook-id"].ToString();
    var timestamp = headers["webhook-timestamp"].ToString();
    if (id == "" || !long.TryParse(timestamp, out var sent))
        return false;
    if (Math.Abs(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - sent) > Tolerance)
        return false;
    byte[] content = [.. Encoding.UTF8.GetBytes($"{id}.{timestamp}."), .. body];
    var expected = Encoding.UTF8.GetBytes("v1," + Convert.ToBase64String(HMACSHA256.HashData(key, content)));
    var verified = false;
    foreach (var signature in headers["webhook-signature"].ToString().Split(' '))
        verified |= CryptographicOperations.FixedTimeEquals(expected, Encoding.UTF8.GetBytes(signature));
    return verified;
}

// Does the work, and throws where it fails: the event comes again.
static Task HandleAsync(string id, JsonElement json)
{
    string Text(string name) => json.TryGetProperty(name, out var value) ? value.GetString() ?? "" : "";
    Console.WriteLine($"{id} {Text("type")} {Text("subject")} {Text("companyid")}");
    return Task.CompletedTask;
}
