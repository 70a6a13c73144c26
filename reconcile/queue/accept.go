package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/reconcile/state"
)

const (
	// maxBatch bounds the events of one transaction.
	maxBatch = 256
	// commitTimeout bounds a transaction. A database that takes longer is in trouble,
	// and the sender must hear of it: GitHub gives up after 10 s.
	commitTimeout = 8 * time.Second
	// maxDelivery bounds the id of a delivery, in bytes.
	maxDelivery = 128
)

// Accepted says what became of an event.
type Accepted struct {
	// Duplicate says that the delivery had been worked completely before, so that
	// nothing was done.
	Duplicate bool
	// Keys are those that were marked.
	Keys []reconcile.Key
}

// Accept makes an event durable: its delivery, its facts, and its keys, among them
// those of the open pull requests at Heads. When it returns nil, a run of each key
// follows even if the process is killed. On an error nothing is known to be stored,
// and the event may be sent again.
//
// Concurrent calls are committed together.
func (q *Queue) Accept(ctx context.Context, e reconcile.Event) (Accepted, error) {
	if e.Delivery == "" || len(e.Delivery) > maxDelivery {
		return Accepted{}, fmt.Errorf("accept event: its delivery id has %d bytes; want 1 to %d", len(e.Delivery), maxDelivery)
	}
	return q.intake.accept(ctx, e)
}

// Enqueue marks keys to be looked at again, for timers and sweeps: after events, and
// without hurrying a key that waits after a failure.
func (q *Queue) Enqueue(ctx context.Context, keys ...reconcile.Key) error {
	if len(keys) == 0 {
		return nil
	}
	now := q.o.Now()
	err := q.db.Update(ctx, func(t *state.Tx) error {
		b := newBatch(now)
		for _, key := range keys {
			if _, err := b.raise(ctx, t, key, prioritySweep, false); err != nil {
				return err
			}
		}
		return q.schedule(ctx, t, b.wants(), now)
	})
	if err != nil {
		return fmt.Errorf("enqueue %d keys: %w", len(keys), err)
	}
	q.signal()
	return nil
}

// intake gathers the events that come in while a transaction commits into the next
// one.
type intake struct {
	commit func(context.Context, []reconcile.Event) ([]Accepted, error)

	mu         sync.Mutex // guards the two below
	waiting    []*offer
	committing bool // a goroutine of commitAll runs; it ends when nothing waits
}

// offer is an event whose sender waits for done.
type offer struct {
	event    reconcile.Event
	done     chan struct{}
	accepted Accepted
	err      error
}

func (in *intake) accept(ctx context.Context, e reconcile.Event) (Accepted, error) {
	o := &offer{event: e, done: make(chan struct{})}
	in.mu.Lock()
	in.waiting = append(in.waiting, o)
	if !in.committing {
		in.committing = true
		// It serves other senders too, so it isn't bound to this one's context; the
		// time of each commit is bounded.
		go in.commitAll(context.WithoutCancel(ctx))
	}
	in.mu.Unlock()
	select {
	case <-o.done:
		return o.accepted, o.err
	case <-ctx.Done():
		return Accepted{}, fmt.Errorf("accept delivery %s: %w", e.Delivery, ctx.Err())
	}
}

func (in *intake) commitAll(ctx context.Context) {
	for {
		in.mu.Lock()
		batch := in.waiting[:min(len(in.waiting), maxBatch)]
		in.waiting = in.waiting[len(batch):]
		if len(batch) == 0 {
			in.committing, in.waiting = false, nil
			in.mu.Unlock()
			return
		}
		in.mu.Unlock()
		in.commitBatch(ctx, batch)
		for _, o := range batch {
			close(o.done)
		}
	}
}

// commitBatch commits all offers together, or, should one of them spoil it, each by
// itself.
func (in *intake) commitBatch(ctx context.Context, batch []*offer) {
	events := make([]reconcile.Event, len(batch))
	for i, o := range batch {
		events[i] = o.event
	}
	accepted, err := in.commitInTime(ctx, events)
	if err != nil && len(batch) > 1 && !errors.Is(err, context.DeadlineExceeded) {
		for _, o := range batch {
			in.commitBatch(ctx, []*offer{o})
		}
		return
	}
	for i, o := range batch {
		if o.err = err; err == nil {
			o.accepted = accepted[i]
		}
	}
}

func (in *intake) commitInTime(ctx context.Context, events []reconcile.Event) ([]Accepted, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	return in.commit(ctx, events)
}

// commitEvents stores events in one transaction.
func (q *Queue) commitEvents(ctx context.Context, events []reconcile.Event) ([]Accepted, error) {
	now := q.o.Now()
	all := make([]Accepted, len(events))
	err := q.db.Update(ctx, func(t *state.Tx) error {
		b := newBatch(now)
		for i, e := range events {
			var err error
			if all[i], err = b.take(ctx, t, e); err != nil {
				return fmt.Errorf("accept delivery %s: %w", e.Delivery, err)
			}
		}
		return q.schedule(ctx, t, b.wants(), now)
	})
	if err != nil {
		return nil, err
	}
	q.signal()
	return all, nil
}

// batch is the keys that a transaction marked.
type batch struct {
	now    time.Time
	byKey  map[string]*want
	sorted []*want
}

func newBatch(now time.Time) *batch { return &batch{now: now, byKey: map[string]*want{}} }

// take stores one event.
func (b *batch) take(ctx context.Context, t *state.Tx, e reconcile.Event) (Accepted, error) {
	completed, err := t.Receive(ctx, state.Delivery{ID: e.Delivery, Event: e.Name, Action: e.Action}, b.now)
	if err != nil || completed {
		return Accepted{Duplicate: completed}, err
	}
	for _, r := range e.Repos {
		if err := t.NoteRepo(ctx, r); err != nil {
			return Accepted{}, err
		}
	}
	for _, p := range e.Pulls {
		if err := t.SavePull(ctx, p.Repo, p.Pull); err != nil {
			return Accepted{}, err
		}
	}
	keys, err := keysOf(ctx, t, e)
	if err != nil {
		return Accepted{}, err
	}
	for _, key := range keys {
		if e.Rerun && key.Kind == reconcile.KeyPull {
			if err := t.AskRerun(ctx, key.Repo, key.Number); err != nil {
				return Accepted{}, err
			}
		}
		m, err := b.raise(ctx, t, key, priorityOf(key), true)
		if err != nil {
			return Accepted{}, err
		}
		if err := t.Await(ctx, e.Delivery, m.Key, m.Generation); err != nil {
			return Accepted{}, err
		}
	}
	if len(keys) == 0 {
		err = t.CompleteDelivery(ctx, e.Delivery, b.now)
	}
	return Accepted{Keys: keys}, err
}

// keysOf gives an event's keys, each once.
func keysOf(ctx context.Context, t *state.Tx, e reconcile.Event) ([]reconcile.Key, error) {
	var keys []reconcile.Key
	seen := map[reconcile.Key]bool{}
	add := func(key reconcile.Key) {
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	for _, key := range e.Keys {
		add(key)
	}
	for _, h := range e.Heads {
		numbers, err := t.OpenPullsAt(ctx, h.Repo, h.SHA)
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			add(reconcile.PullKey(h.Repo, n))
		}
	}
	return keys, nil
}

// raise marks a key. An urgent one hurries a job that waits for a later time.
func (b *batch) raise(ctx context.Context, t *state.Tx, key reconcile.Key, priority int, urgent bool) (state.Mark, error) {
	name := key.String()
	if parsed, err := reconcile.ParseKey(name); err != nil || parsed != key {
		return state.Mark{}, fmt.Errorf("mark key %q: it can't be read back", name)
	}
	m, err := t.Raise(ctx, name, b.now)
	if err != nil {
		return state.Mark{}, err
	}
	w := b.byKey[name]
	if w == nil {
		w = &want{priority: priority, at: b.now}
		b.byKey[name] = w
		b.sorted = append(b.sorted, w)
	}
	w.mark = m
	w.priority = min(w.priority, priority)
	if !urgent {
		w.at = laterOf(w.at, m.DueAt)
	} else {
		// At once, but for a rate limit, and never in step with a storm of events.
		w.at = laterOf(b.now, m.HeldUntil)
		if m.Failures > 0 {
			w.at = laterOf(w.at, m.FailedAt.Add(defaultFirstDelay))
		}
	}
	return m, nil
}

func (b *batch) wants() []want {
	all := make([]want, len(b.sorted))
	for i, w := range b.sorted {
		all[i] = *w
	}
	return all
}
