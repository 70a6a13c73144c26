package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// write sends a reply with the headers that GitHub sends on every response. Before it
// sends anything it tells the status to sent, so that a client that has the answer
// finds it in the log. A GET that matches If-None-Match is a 304, which gives
// its rate-limit point back.
func (h *Hub) write(w http.ResponseWriter, r *http.Request, out *reply, who actor, rt *route, sent func(int)) {
	var raw []byte
	if out.body != nil {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(out.body); err != nil {
			h.log.Error("encode a response", "err", err)
			out, raw = &reply{status: 500}, []byte(`{"message":"Server Error"}`)
		} else {
			raw = bytes.TrimSpace(buf.Bytes())
		}
	}
	hd := w.Header()
	for k, v := range out.header {
		hd[k] = v
	}
	id, _ := h.random(16)
	hd.Set("X-GitHub-Request-Id", strings.ToUpper(id))
	hd.Set("X-GitHub-Media-Type", "github.v3; format=json")
	hd.Set("X-GitHub-Api-Version-Selected", "2022-11-28")
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Server", "github.com")
	if rt != nil && rt.need != "" && rt.need != "app" {
		need := strings.NewReplacer(":", "=", "|", "; ").Replace(rt.need)
		hd.Set("X-Accepted-GitHub-Permissions", need)
	}
	if out.status == 200 && (r.Method == "GET" || r.Method == "HEAD") {
		sum := sha256.Sum256(append([]byte(r.Header.Get("Authorization")+"\x00"), raw...))
		tag := `W/"` + hex.EncodeToString(sum[:]) + `"`
		hd.Set("ETag", tag)
		hd.Set("Cache-Control", "private, max-age=60, s-maxage=60")
		hd.Set("Vary", "Accept, Authorization, Cookie, X-GitHub-OTP")
		if inm := r.Header.Get("If-None-Match"); inm != "" && strings.Contains(inm, strings.TrimPrefix(tag, "W/")) {
			h.quota.refund(who.quotaKey())
			h.quota.headers(hd, who.quotaKey())
			sent(http.StatusNotModified)
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.quota.headers(hd, who.quotaKey())
	if raw != nil {
		hd.Set("Content-Type", "application/json; charset=utf-8")
		hd.Set("Content-Length", strconv.Itoa(len(raw)))
	}
	sent(out.status)
	w.WriteHeader(out.status)
	_, _ = w.Write(raw) // the client may be gone
}

// rateLimiter counts requests per token owner in windows of an hour.
type rateLimiter struct {
	mu    sync.Mutex // guards all
	limit int
	now   func() time.Time
	used  map[string]*quotaWindow
}

type quotaWindow struct {
	used  int
	reset time.Time
}

func (q *rateLimiter) init(limit int, now func() time.Time) {
	q.limit, q.now, q.used = limit, now, map[string]*quotaWindow{}
}

func (q *rateLimiter) window(key string) *quotaWindow {
	w := q.used[key]
	if now := q.now().UTC(); w == nil || !now.Before(w.reset) {
		w = &quotaWindow{reset: now.Truncate(time.Second).Add(time.Hour)}
		q.used[key] = w
	}
	return w
}

// check takes a point, or says that none is left.
func (q *rateLimiter) check(key string) *reply {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.window(key)
	if w.used >= q.limit {
		return fail(403, "API rate limit exceeded for "+key+".")
	}
	w.used++
	return nil
}

func (q *rateLimiter) refund(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w := q.window(key); w.used > 0 {
		w.used--
	}
}

// exhaust uses a window up.
func (q *rateLimiter) exhaust(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.window(key).used = q.limit
}

func (q *rateLimiter) headers(hd http.Header, key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.window(key)
	hd.Set("X-RateLimit-Limit", strconv.Itoa(q.limit))
	hd.Set("X-RateLimit-Remaining", strconv.Itoa(q.limit-w.used))
	hd.Set("X-RateLimit-Used", strconv.Itoa(w.used))
	hd.Set("X-RateLimit-Reset", strconv.FormatInt(w.reset.Unix(), 10))
	hd.Set("X-RateLimit-Resource", "core")
}

// getRateLimit answers GET /rate_limit, which is free.
func (h *Hub) getRateLimit(c *call) *reply {
	key := c.actor.quotaKey()
	h.quota.refund(key)
	h.quota.mu.Lock()
	defer h.quota.mu.Unlock()
	w := h.quota.window(key)
	core := obj{"limit": h.quota.limit, "used": w.used, "remaining": h.quota.limit - w.used, "reset": w.reset.Unix()}
	rest := obj{"limit": 30, "used": 0, "remaining": 30, "reset": w.reset.Unix()}
	return ok(obj{"resources": obj{"core": core, "search": rest, "graphql": rest}, "rate": core})
}

// ExhaustRateLimit uses up the hour's quota of an installation.
func (h *Hub) ExhaustRateLimit(installation int64) {
	h.quota.exhaust("installation:" + strconv.FormatInt(installation, 10))
}
