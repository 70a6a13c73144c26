package hub

import (
	"strings"
	"sync"
	"time"
)

// Request is one REST request that the hub got. Git over HTTP isn't in the log.
type Request struct {
	Method string
	Route  string // template such as /repos/{owner}/{repo}/check-runs; "" if unknown
	Path   string // without /api/v3
	Status int    // what was answered; 0 if the connection was cut
	Actor  string // installation, user, app or anonymous
	Fault  FaultKind
	Time   time.Time
}

// IsTokenMint is true of the request for an installation token, which a bot makes
// once an hour and not per event.
func (r Request) IsTokenMint() bool { return strings.HasSuffix(r.Route, "/access_tokens") }

type requestLog struct {
	mu  sync.Mutex // guards all
	all []Request
}

func (l *requestLog) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, r)
}

// Requests lists the REST requests since the start or the last ResetRequests, oldest
// first by when they ended.
func (h *Hub) Requests() []Request {
	h.requests.mu.Lock()
	defer h.requests.mu.Unlock()
	return append([]Request(nil), h.requests.all...)
}

// BotCalls lists the requests that an App's installations made, which is what
// counts on their quota; minting tokens isn't among them.
func (h *Hub) BotCalls() []Request {
	var out []Request
	for _, r := range h.Requests() {
		if r.Actor == "installation" {
			out = append(out, r)
		}
	}
	return out
}

// ResetRequests empties the log.
func (h *Hub) ResetRequests() {
	h.requests.mu.Lock()
	defer h.requests.mu.Unlock()
	h.requests.all = nil
}
