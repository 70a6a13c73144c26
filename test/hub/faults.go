package hub

import (
	"cmp"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// FaultKind is what goes wrong.
type FaultKind string

// Faults of REST and Git requests.
const (
	StatusFault    FaultKind = "status"          // answers Fault.Status without any effect
	Hang           FaultKind = "hang"            // never answers; the connection stays open until the client goes
	Reset          FaultKind = "reset"           // cuts the connection without any effect
	SecondaryLimit FaultKind = "secondary-limit" // 403 (or Fault.Status 429) with Retry-After
	PrimaryLimit   FaultKind = "primary-limit"   // 403 with no points remaining, reset after Fault.Delay
	LostResponse   FaultKind = "lost-response"   // the effect takes place, then the connection is cut
)

// Faults of webhooks.
const (
	Lost      FaultKind = "lost"      // isn't sent; the log shows a failed delivery
	Doubled   FaultKind = "doubled"   // is sent twice with the same GUID
	Reordered FaultKind = "reordered" // is sent after the next one
)

// Delay makes a request or webhook wait for Fault.Delay and then go on as usual.
const Delay FaultKind = "delay"

// Fault is a rule for things to go wrong. It applies to REST requests, unless Git
// is set or Event isn't nil.
type Fault struct {
	Kind        FaultKind
	Method      string         // "" is any
	Path        *regexp.Regexp // of the path without /api/v3; nil is any
	Git         bool           // applies to Git over HTTP instead
	Event       *regexp.Regexp // applies to webhooks instead, by "event" or "event.action"
	Skip        int            // lets the first Skip matches pass
	Count       int            // ends after so many hits; 0 is no end
	Probability float64        // of a hit; 0 is always
	Status      int            // of StatusFault (default 502) and SecondaryLimit (default 403)
	RetryAfter  time.Duration  // of SecondaryLimit; 0 sends no header; whole seconds
	Delay       time.Duration
}

type faultTarget int

const (
	faultREST faultTarget = iota
	faultGit
	faultHook
)

type faultSet struct {
	mu    sync.Mutex // guards all
	rules []*faultRule
	rand  *rand.Rand
}

type faultRule struct {
	Fault
	seen, hits int
}

func (s *faultSet) init(seed uint64) {
	s.rand = rand.New(rand.NewPCG(seed, seed))
}

// Inject adds faults; the first one that matches hits.
func (h *Hub) Inject(faults ...Fault) {
	h.faults.mu.Lock()
	defer h.faults.mu.Unlock()
	for _, f := range faults {
		h.faults.rules = append(h.faults.rules, &faultRule{Fault: f})
	}
}

// ClearFaults removes all faults. Requests that hang go on hanging.
func (h *Hub) ClearFaults() {
	h.faults.mu.Lock()
	defer h.faults.mu.Unlock()
	h.faults.rules = nil
}

// pick returns the fault that hits, if any. For webhooks, path is the event with
// its action.
func (s *faultSet) pick(t faultTarget, method, path string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if !r.matches(t, method, path) || r.Count > 0 && r.hits >= r.Count {
			continue
		}
		if r.seen++; r.seen <= r.Skip {
			continue
		}
		if r.Probability > 0 && s.rand.Float64() >= r.Probability {
			continue
		}
		r.hits++
		f := r.Fault
		return &f
	}
	return nil
}

func (r *faultRule) matches(t faultTarget, method, path string) bool {
	switch {
	case r.Event != nil:
		return t == faultHook && r.Event.MatchString(path)
	case r.Git:
		if t != faultGit {
			return false
		}
	default:
		if t != faultREST {
			return false
		}
	}
	return (r.Method == "" || r.Method == method) && (r.Path == nil || r.Path.MatchString(path))
}

// strike lets a fault hit a request, and returns whether the request is over. What was
// answered is told to sent, 0 for nothing.
func (h *Hub) strike(w http.ResponseWriter, r *http.Request, f *Fault, sent func(int)) bool {
	w.Header().Set("X-Hub-Fault", string(f.Kind))
	switch f.Kind {
	case StatusFault:
		h.write(w, r, fail(cmp.Or(f.Status, 502), "Server Error"), actor{}, nil, sent)
	case Hang:
		// The server notices that a client went only when the body is read.
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
		<-r.Context().Done()
		sent(0)
		reset(w)
	case Reset:
		sent(0)
		reset(w)
	case SecondaryLimit:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
		}
		out := fail(cmp.Or(f.Status, 403), "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
		out.body.(obj)["documentation_url"] = docsURL + "/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits"
		h.write(w, r, out, actor{}, nil, sent)
	case PrimaryLimit:
		sent(403)
		h.writeExhausted(w, f.Delay)
	case Delay:
		w.Header().Del("X-Hub-Fault")
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
		return false
	default:
		w.Header().Del("X-Hub-Fault") // a webhook's fault does nothing to a request
		return false
	}
	return true
}

func (h *Hub) writeExhausted(w http.ResponseWriter, wait time.Duration) {
	hd := w.Header()
	hd.Set("X-RateLimit-Limit", strconv.Itoa(h.opt.RateLimit))
	hd.Set("X-RateLimit-Remaining", "0")
	hd.Set("X-RateLimit-Used", strconv.Itoa(h.opt.RateLimit))
	hd.Set("X-RateLimit-Reset", strconv.FormatInt(h.opt.Now().Add(wait).Unix(), 10))
	hd.Set("X-RateLimit-Resource", "core")
	hd.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(403)
	_, _ = w.Write([]byte(`{"message":"API rate limit exceeded for installation.","documentation_url":"` + docsURL + `"}`))
}

// reset cuts the connection so that the client sees a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // makes Close send RST
	}
	_ = conn.Close()
}
