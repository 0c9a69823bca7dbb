<?php

// Receives what `event-router forward` posts; docs/forward-receivers.md says how to run it.
declare(strict_types=1);

const TOLERANCE = 300; // seconds that the sender's clock and ours may differ
const HANDLED = __DIR__ . '/handled';

/** Does the work, and throws where it fails: the event comes again. */
function handle(string $id, array $event): void
{
    $fields = [$id, $event['type'], $event['subject'] ?? '', $event['companyid'] ?? ''];
    file_put_contents('php://stdout', implode(' ', $fields) . PHP_EOL);
}

/** Tells whether the body is signed with the secret, after Standard Webhooks: one matching signature is enough. */
function verified(string $secret, string $body): bool
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if ($id === '' || !ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret), true)
        ?: throw new RuntimeException('set WEBHOOK_SECRET to the secret of the forward: whsec_…');
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    $verified = false;
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $signature) {
        $verified = hash_equals($expected, $signature) || $verified;
    }
    return $verified;
}

function answered(): int
{
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        return 405;
    }
    $body = file_get_contents('php://input'); // the bytes as they came: parsed and written again they have another signature
    if (!verified(getenv('WEBHOOK_SECRET') ?: '', $body)) {
        return 401;
    }
    // An event may come twice. A unique id in a table, written in the transaction of the work, does this without a gap.
    $id = $_SERVER['HTTP_WEBHOOK_ID'];
    $file = HANDLED . '/' . hash('sha256', $id);
    if (!file_exists($file)) {
        handle($id, json_decode($body, true, flags: JSON_THROW_ON_ERROR));
        is_dir(HANDLED) || mkdir(HANDLED);
        file_put_contents($file, $id);
    }
    return 204;
}

try {
    http_response_code(answered());
} catch (Throwable $error) {
    error_log((string) $error);
    http_response_code(500);
}
