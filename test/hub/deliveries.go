package hub

import (
	"encoding/json"
	"net/http"
	"strconv"
)

func (h *Hub) getHookConfig(c *call) *reply {
	o := c.actor.app.opt
	out := obj{"content_type": "json", "insecure_ssl": "0", "url": o.WebhookURL}
	if o.WebhookSecret != "" {
		out["secret"] = "********"
	}
	return ok(out)
}

func (h *Hub) setHookConfig(c *call) *reply {
	var in struct{ URL, Secret *string }
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	if in.URL != nil {
		if err := h.checkHookURL(*in.URL); err != nil {
			return invalid("Hook", "url", "invalid", err.Error())
		}
		c.actor.app.opt.WebhookURL = *in.URL
	}
	if in.Secret != nil {
		c.actor.app.opt.WebhookSecret = *in.Secret
	}
	return h.getHookConfig(c)
}

// listDeliveries lists newest first; the cursor is the id to go on below.
func (h *Hub) listDeliveries(c *call) *reply {
	per, _ := c.paging()
	cursor, err := strconv.ParseInt(c.r.URL.Query().Get("cursor"), 10, 64)
	if err != nil {
		cursor = 1 << 62
	}
	q := c.actor.app.hook
	q.mu.Lock()
	defer q.mu.Unlock()
	out, last, more := []any{}, int64(0), false
	for i := len(q.log) - 1; i >= 0; i-- {
		d := q.log[i]
		if d.id >= cursor || !d.done {
			continue
		}
		if len(out) == per {
			more = true
			break
		}
		out, last = append(out, d.brief()), d.id
	}
	rep := ok(out)
	if more {
		u := *c.r.URL
		v := u.Query()
		v.Set("cursor", itoa(last))
		u.RawQuery = v.Encode()
		rep.header = http.Header{"Link": {`<` + h.url + u.RequestURI() + `>; rel="next"`}}
	}
	return rep
}

func (q *hookQueue) find(id int64) *delivery {
	for _, d := range q.log {
		if d.id == id && d.done {
			return d
		}
	}
	return nil
}

func (h *Hub) getDelivery(c *call) *reply {
	q := c.actor.app.hook
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.find(c.id("delivery_id"))
	if d == nil {
		return notFound()
	}
	out := d.brief()
	out["url"] = c.actor.app.opt.WebhookURL
	out["request"] = obj{"headers": flat(d.reqHeader), "payload": json.RawMessage(d.payload)}
	out["response"] = obj{"headers": flat(d.header), "payload": d.body}
	return ok(out)
}

// redeliver sends an event again, under the same GUID.
func (h *Hub) redeliver(c *call) *reply {
	q := c.actor.app.hook
	q.mu.Lock()
	d := q.find(c.id("delivery_id"))
	if d == nil {
		q.mu.Unlock()
		return notFound()
	}
	again := &delivery{id: h.nextID(), guid: d.guid, event: d.event, action: d.action, install: d.install, repo: d.repo,
		redelivery: true, payload: d.payload}
	q.mu.Unlock()
	q.add(again)
	return &reply{status: 202, body: obj{}}
}

// brief is GitHub's hook-delivery-item.
func (d *delivery) brief() obj {
	null := func(n int64) any {
		if n == 0 {
			return nil
		}
		return n
	}
	out := obj{"id": d.id, "guid": d.guid, "delivered_at": stamp(d.at), "redelivery": d.redelivery, "duration": d.took.Seconds(),
		"status": d.status, "status_code": d.code, "event": d.event, "action": nil,
		"installation_id": null(d.install), "repository_id": null(d.repo), "throttled_at": nil}
	if d.action != "" {
		out["action"] = d.action
	}
	return out
}

func flat(hd http.Header) any {
	if hd == nil {
		return nil
	}
	out := obj{}
	for k := range hd {
		out[k] = hd.Get(k)
	}
	return out
}

// Delivery is one attempt to deliver a webhook.
type Delivery struct {
	ID            int64
	GUID          string
	Event, Action string
	Redelivery    bool
	Payload       []byte
	StatusCode    int // 0: none came
}

// Deliveries lists the attempts for an App, oldest first.
func (h *Hub) Deliveries(appID int64) []Delivery {
	h.mu.Lock()
	a := h.apps[appID]
	h.mu.Unlock()
	if a == nil {
		return nil
	}
	a.hook.mu.Lock()
	defer a.hook.mu.Unlock()
	var out []Delivery
	for _, d := range a.hook.log {
		if d.done {
			out = append(out, Delivery{d.id, d.guid, d.event, d.action, d.redelivery, d.payload, d.code})
		}
	}
	return out
}
