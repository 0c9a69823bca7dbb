<?php

// Reads one event type through a consumer group of its own; docs/streams.md says what it relies on.
declare(strict_types=1);

const STREAM = 'er:{visma-net-financial/customer_changed}:events';
const GROUP = 'crm-php';
const BATCH = 10;
const IDLE = 60_000; // milliseconds; longer than a batch takes: an entry held for longer is claimed

/** Does the work; an event may come twice, so it must be idempotent by its id. */
function handle(array $event): void
{
    echo implode(' ', [$event['id'], $event['type'], $event['resource'] ?? '', $event['company_id'] ?? '']), PHP_EOL;
}

/** Returns a reply; phpredis returns false where the server answered with some errors. */
function checked(Redis $redis, mixed $reply): array
{
    return is_array($reply) ? $reply : throw new RuntimeException($redis->getLastError() ?? 'no reply');
}

$url = parse_url(getenv('REDIS_URL'));
$redis = new Redis();
$redis->connect($url['host'], $url['port'] ?? 6379);
if (isset($url['pass'])) {
    $redis->auth([$url['user'], $url['pass']]);
}
$consumer = getenv('CONSUMER'); // unique in the group, and the same after a restart
$redis->xGroup('CREATE', STREAM, GROUP, '0', true); // false where the group is there already
$redis->clearLastError();

for ($next = '0', $cursor = '0-0';;) { // first its own pending entries, then new ones: ">"
    $read = checked($redis, $redis->xReadGroup(GROUP, $consumer, [STREAM => $next], BATCH, 5000));
    $entries = $read[STREAM] ?? [];
    $next = $next === '>' ? '>' : array_key_last($entries) ?? '>';
    $claim = $redis->rawCommand('XAUTOCLAIM', STREAM, GROUP, $consumer, IDLE, $cursor, 'COUNT', BATCH);
    [$cursor, $claimed] = checked($redis, $claim);
    foreach ($claimed as [$id, $flat]) {
        $entries[$id] = array_column(array_chunk($flat, 2), 1, 0);
    }
    foreach ($entries as $id => $fields) {
        try {
            $text = $fields['event'] ?? throw new UnexpectedValueException('it has no event');
            handle(json_decode($text, true, flags: JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING));
            $redis->xAck(STREAM, GROUP, [$id]);
        } catch (Throwable $error) {
            fwrite(STDERR, "entry $id stays pending, and is claimed later: {$error->getMessage()}\n");
        }
    }
}
