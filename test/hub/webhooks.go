package hub

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxPayload is the size beyond which GitHub sends no webhook at all.
const maxPayload = 25 << 20

// maxKept is how many deliveries the log keeps per App.
const maxKept = 10_000

// delivery is one attempt to deliver an event.
type delivery struct {
	id         int64
	guid       string
	event      string
	action     string
	install    int64
	repo       int64
	redelivery bool
	payload    []byte
	at         time.Time
	took       time.Duration
	reqHeader  http.Header
	status     string // "OK", or what went wrong
	code       int    // 0 without a response
	header     http.Header
	body       string
	done       bool
}

// hookQueue delivers an App's events one after the other. Every event is in the log
// from the moment it is queued; "done" once it was tried.
type hookQueue struct {
	hub *Hub
	app *app

	mu      sync.Mutex // guards all below
	changed *sync.Cond
	queue   []*delivery
	busy    bool
	log     []*delivery // oldest first
	client  *http.Client
}

func (h *Hub) newHookQueue(a *app) *hookQueue {
	q := &hookQueue{hub: h, app: a, client: &http.Client{
		Timeout:       h.opt.WebhookTimeout,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	q.changed = sync.NewCond(&q.mu)
	context.AfterFunc(h.ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.changed.Broadcast()
	})
	h.wg.Go(q.work)
	return q
}

// enqueue records an event for an App and has it delivered. Hub.mu is held.
func (h *Hub) enqueue(a *app, in *installation, r *repo, event, action string, payload obj) {
	if a.opt.WebhookURL == "" {
		return
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(payload); err != nil || buf.Len() > maxPayload {
		h.log.Error("webhook not sent", "event", event, "bytes", buf.Len(), "err", err)
		return
	}
	d := &delivery{id: h.nextID(), guid: h.guid(), event: event, action: action, payload: bytes.TrimSpace(buf.Bytes())}
	if in != nil {
		d.install = in.id
	}
	if r != nil {
		d.repo = r.id
	}
	a.hook.add(d)
}

// guid is a random UUID, version 4.
func (h *Hub) guid() string {
	b, err := h.random(16)
	if err != nil {
		h.log.Error("make a delivery id", "err", err)
		b = fmt.Sprintf("%032x", h.opt.Now().UnixNano())
	}
	return b[:8] + "-" + b[8:12] + "-4" + b[13:16] + "-a" + b[17:20] + "-" + b[20:]
}

func (q *hookQueue) add(d *delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, d)
	if q.log = append(q.log, d); len(q.log) > maxKept {
		q.log = q.log[len(q.log)-maxKept:]
	}
	q.changed.Broadcast()
}

// work delivers until the hub closes.
func (q *hookQueue) work() {
	defer q.client.CloseIdleConnections()
	for {
		d := q.next()
		if d == nil {
			return
		}
		q.send(d)
		q.mu.Lock()
		q.busy = false
		q.changed.Broadcast()
		q.mu.Unlock()
	}
}

// reorderWait is how long a reordered event waits for one to overtake it.
const reorderWait = 300 * time.Millisecond

func (q *hookQueue) next() *delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) == 0 && q.hub.ctx.Err() == nil {
		q.changed.Wait()
	}
	if q.hub.ctx.Err() != nil {
		return nil
	}
	d := q.queue[0]
	q.queue, q.busy = q.queue[1:], true
	return d
}

// send delivers an event, unless a fault hits it.
func (q *hookQueue) send(d *delivery) {
	name := d.event
	if d.action != "" {
		name += "." + d.action
	}
	f := q.hub.faults.pick(faultHook, "POST", name)
	if f == nil {
		q.deliver(d)
		return
	}
	switch f.Kind {
	case Lost:
		q.finish(d, func() { d.at, d.status = q.hub.now(), "failed to connect to host" })
	case Doubled:
		q.deliver(d)
		q.deliver(d)
	case Reordered:
		q.overtake(d)
	case Delay:
		select {
		case <-time.After(f.Delay):
		case <-q.hub.ctx.Done():
		}
		q.deliver(d)
	default:
		q.deliver(d)
	}
}

// overtake sends the next event first, if one comes soon.
func (q *hookQueue) overtake(d *delivery) {
	until := time.Now().Add(reorderWait)
	wake := time.AfterFunc(reorderWait, q.changed.Broadcast)
	defer wake.Stop()
	q.mu.Lock()
	for len(q.queue) == 0 && time.Now().Before(until) && q.hub.ctx.Err() == nil {
		q.changed.Wait()
	}
	var first *delivery
	if len(q.queue) > 0 {
		first, q.queue = q.queue[0], q.queue[1:]
	}
	q.mu.Unlock()
	if first != nil {
		q.send(first)
	}
	q.deliver(d)
}

func (q *hookQueue) finish(d *delivery, set func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	set()
	d.done = true
	q.changed.Broadcast()
}

// deliver posts an event once and logs the answer.
func (q *hookQueue) deliver(d *delivery) {
	q.hub.mu.Lock()
	address, secret := q.app.opt.WebhookURL, q.app.opt.WebhookSecret
	q.hub.mu.Unlock()
	start, at := time.Now(), q.hub.now()
	req, err := http.NewRequestWithContext(q.hub.ctx, http.MethodPost, address, bytes.NewReader(d.payload))
	if err != nil {
		q.finish(d, func() { d.at, d.status = at, "invalid address" })
		return
	}
	req.Header = q.headers(d, secret)
	resp, err := q.client.Do(req)
	if err != nil {
		status := "failed to connect to host"
		if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
			status = "timed out"
		}
		q.finish(d, func() { d.at, d.took, d.status, d.reqHeader = at, time.Since(start), status, req.Header })
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // a cut body is what there is
	q.finish(d, func() {
		d.at, d.took, d.reqHeader = at, time.Since(start), req.Header
		d.code, d.header, d.body, d.status = resp.StatusCode, resp.Header, string(body), http.StatusText(resp.StatusCode)
	})
	q.hub.log.Debug("webhook", "event", d.event, "action", d.action, "delivery", d.guid, "status", resp.StatusCode)
}

func (q *hookQueue) headers(d *delivery, secret string) http.Header {
	hd := http.Header{}
	hd.Set("Accept", "*/*")
	hd.Set("Content-Type", "application/json")
	hd.Set("User-Agent", "GitHub-Hookshot/"+d.guid[:7])
	hd.Set("X-GitHub-Event", d.event)
	hd.Set("X-GitHub-Delivery", d.guid)
	hd.Set("X-GitHub-Hook-ID", itoa(q.app.hookID))
	hd.Set("X-GitHub-Hook-Installation-Target-ID", itoa(q.app.ID))
	hd.Set("X-GitHub-Hook-Installation-Target-Type", "integration")
	if secret != "" {
		hd.Set("X-Hub-Signature", "sha1="+sign(sha1.New, secret, d.payload))
		hd.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, secret, d.payload))
	}
	return hd
}

func sign(alg func() hash.Hash, secret string, body []byte) string {
	m := hmac.New(alg, []byte(secret))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// WaitWebhooks waits until every event so far was tried.
func (h *Hub) WaitWebhooks(ctx context.Context) error {
	h.mu.Lock()
	apps := sorted(h.apps)
	h.mu.Unlock()
	for _, a := range apps {
		if err := a.hook.wait(ctx); err != nil {
			return fmt.Errorf("wait for the webhooks of %s: %w", a.Slug, err)
		}
	}
	return nil
}

func (q *hookQueue) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, q.changed.Broadcast)
	defer stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) > 0 || q.busy {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := q.hub.ctx.Err(); err != nil {
			return err
		}
		q.changed.Wait()
	}
	return nil
}
