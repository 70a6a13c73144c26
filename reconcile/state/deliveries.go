package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Delivery is what became of an event.
type Delivery struct {
	ID, Event, Action string
	ReceivedAt        time.Time
	CompletedAt       time.Time // zero while a key of it waits
	Error             string    // of the last failed run of a key of it; "" after it completed
}

// Delivery looks a delivery up by the sender's id.
func (d *DB) Delivery(ctx context.Context, id string) (Delivery, bool, error) {
	return delivery(ctx, d.read, id)
}

// Delivery looks a delivery up by the sender's id.
func (t *Tx) Delivery(ctx context.Context, id string) (Delivery, bool, error) {
	return delivery(ctx, t.tx, id)
}

func delivery(ctx context.Context, q querier, id string) (Delivery, bool, error) {
	v := Delivery{ID: id}
	var received, completed int64
	err := q.QueryRowContext(ctx, `SELECT event, action, received_at, completed_at, error FROM deliveries WHERE guid = $1`, id).
		Scan(&v.Event, &v.Action, &received, &completed, &v.Error)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Delivery{}, false, nil
	case err != nil:
		return Delivery{}, false, fmt.Errorf("read delivery %q: %w", id, err)
	}
	v.ReceivedAt, v.CompletedAt = fromMillis(received), fromMillis(completed)
	return v, true, nil
}

// Receive stores a delivery that came in at now, and says whether it had been
// completed before: then nothing is stored, and nothing is left to do.
func (t *Tx) Receive(ctx context.Context, v Delivery, now time.Time) (completed bool, err error) {
	// The row is inserted or held first, then looked at.
	n, err := t.exec(ctx, "save delivery", `
		INSERT INTO deliveries (guid, event, action, received_at, completed_at, error) VALUES ($1, $2, $3, $4, 0, '')
		ON CONFLICT (guid) DO UPDATE SET received_at = excluded.received_at WHERE deliveries.completed_at = 0`,
		v.ID, v.Event, v.Action, millis(now))
	return n == 0, err
}

// Await makes a delivery wait for a run that sees a generation of a key.
func (t *Tx) Await(ctx context.Context, delivery, key string, generation int64) error {
	_, err := t.exec(ctx, "save key of delivery", `
		INSERT INTO delivery_keys (key, delivery, generation) VALUES ($1, $2, $3)
		ON CONFLICT (key, delivery) DO UPDATE SET generation = excluded.generation`, key, delivery, generation)
	return err
}

// CompleteDelivery completes a delivery that waits for no key.
func (t *Tx) CompleteDelivery(ctx context.Context, id string, now time.Time) error {
	_, err := t.exec(ctx, "complete delivery", `
		UPDATE deliveries SET completed_at = $1, error = '' WHERE guid = $2
		AND NOT EXISTS (SELECT 1 FROM delivery_keys WHERE delivery = deliveries.guid)`, millis(now), id)
	return err
}

// settle takes a key that was worked up to a generation off the deliveries that
// wait for it, and completes those that then wait for nothing.
func (t *Tx) settle(ctx context.Context, key string, generation int64, now time.Time) error {
	if _, err := t.exec(ctx, "complete deliveries", `
		UPDATE deliveries SET completed_at = $1, error = ''
		WHERE guid IN (SELECT delivery FROM delivery_keys WHERE key = $2 AND generation <= $3)
		AND NOT EXISTS (SELECT 1 FROM delivery_keys k WHERE k.delivery = deliveries.guid AND NOT (k.key = $2 AND k.generation <= $3))`,
		millis(now), key, generation); err != nil {
		return err
	}
	_, err := t.exec(ctx, "complete deliveries", `DELETE FROM delivery_keys WHERE key = $1 AND generation <= $2`, key, generation)
	return err
}

// Prune forgets completed deliveries that were received before a time, marks of
// keys that nothing happened to since, and returns how many rows went. GitHub
// redelivers for 3 days (an Enterprise Server for 7), so a week is enough.
func (d *DB) Prune(ctx context.Context, before time.Time) (rows int64, err error) {
	err = d.Update(ctx, func(t *Tx) error {
		deliveries, err := t.exec(ctx, "prune deliveries",
			`DELETE FROM deliveries WHERE completed_at <> 0 AND received_at < $1`, millis(before))
		if err != nil {
			return err
		}
		marks, err := t.exec(ctx, "prune marks",
			`DELETE FROM marks WHERE done = generation AND updated_at < $1`, millis(before))
		rows = deliveries + marks
		return err
	})
	return rows, err
}

// Deliveries lists the newest deliveries, at most limit, newest first.
func (d *DB) Deliveries(ctx context.Context, limit int) ([]Delivery, error) {
	return collect(ctx, d.read, "list deliveries", func(rows *sql.Rows) (v Delivery, err error) {
		var received, completed int64
		err = rows.Scan(&v.ID, &v.Event, &v.Action, &received, &completed, &v.Error)
		v.ReceivedAt, v.CompletedAt = fromMillis(received), fromMillis(completed)
		return v, err
	}, `SELECT guid, event, action, received_at, completed_at, error FROM deliveries ORDER BY received_at DESC, guid LIMIT $1`, limit)
}
