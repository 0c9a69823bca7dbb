// Reads one event type through a consumer group of its own; docs/streams.md says what it relies on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	stream = "er:{visma-net-financial/customer_changed}:events"
	group  = "crm-go"
	batch  = 10
	idle   = time.Minute // longer than a batch takes: an entry held for longer is claimed
)

type event struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Resource  string `json:"resource"`
	CompanyID string `json:"company_id"`
}

// handle does the work; an event may come twice, so it must be idempotent by its ID.
func handle(e event) error {
	_, err := fmt.Println(e.ID, e.Type, e.Resource, e.CompanyID)
	return err
}

func main() {
	options, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	check(err)
	ctx, db := context.Background(), redis.NewClient(options)
	consumer := os.Getenv("CONSUMER") // unique in the group, and the same after a restart
	err = db.XGroupCreateMkStream(ctx, stream, group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		log.Fatal(err)
	}
	for next, cursor := "0", "0-0"; ; { // first its own pending entries, then new ones: ">"
		read, err := db.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: group, Consumer: consumer, Streams: []string{stream, next}, Count: batch, Block: 5 * time.Second,
		}).Result()
		if !errors.Is(err, redis.Nil) { // no entry came
			check(err)
		}
		var entries []redis.XMessage
		if len(read) > 0 {
			entries = read[0].Messages
		}
		if len(entries) == 0 {
			next = ">"
		} else if next != ">" {
			next = entries[len(entries)-1].ID
		}
		claimed, following, err := db.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: stream, Group: group, Consumer: consumer, MinIdle: idle, Start: cursor, Count: batch,
		}).Result()
		check(err)
		cursor = following
		for _, entry := range append(entries, claimed...) {
			var e event
			text, _ := entry.Values["event"].(string)
			if err = json.Unmarshal([]byte(text), &e); err == nil {
				err = handle(e)
			}
			if err == nil {
				check(db.XAck(ctx, stream, group, entry.ID).Err())
			} else {
				log.Printf("entry %s stays pending, and is claimed later: %v", entry.ID, err)
			}
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
