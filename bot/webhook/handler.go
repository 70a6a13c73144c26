package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/conductor-dev/conductor/reconcile"
)

// Defaults of Options.
const (
	// DefaultMaxBody is the largest body, in bytes: GitHub sends no larger one.
	DefaultMaxBody = 25 << 20
	// DefaultInflight bounds the bodies that are held at one time, in bytes.
	DefaultInflight = 4 * DefaultMaxBody
	// DefaultBodyTimeout is how long a body may take to come in.
	DefaultBodyTimeout = 8 * time.Second
)

const (
	// acceptTimeout ends just before GitHub gives up on an answer, after 10 s.
	acceptTimeout = 9 * time.Second
	// admitTimeout is how long a delivery waits for its share of Inflight.
	admitTimeout = 3 * time.Second
	// retryAfter is what a 503 asks for, in seconds.
	retryAfter = "30"
)

// Options configure a Handler. The zero values of sizes and times stand for the
// defaults.
type Options struct {
	// Secrets are the webhook's secrets: one, or two while it is rotated.
	Secrets [][]byte
	// Accept makes an event durable, or says that the delivery was worked completely
	// before.
	Accept      func(context.Context, reconcile.Event) (duplicate bool, err error)
	Logger      *slog.Logger // nil: discarded
	MaxBody     int64
	Inflight    int64 // at least MaxBody
	BodyTimeout time.Duration
}

// Handler serves POST of GitHub's deliveries. It is safe for concurrent use.
type Handler struct {
	o        Options
	inflight *semaphore.Weighted
}

// New makes a handler. It refuses to make one that would take unsigned deliveries.
func New(o Options) (*Handler, error) {
	if n := len(o.Secrets); n < 1 || n > 2 {
		return nil, errors.New("webhook: want one secret, or two while it is rotated; set the App's webhook secret")
	}
	for _, s := range o.Secrets {
		if len(s) == 0 {
			return nil, errors.New("webhook: a secret is empty; set the App's webhook secret")
		}
	}
	if o.Accept == nil {
		return nil, errors.New("webhook: nothing accepts events")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.BodyTimeout <= 0 {
		o.BodyTimeout = DefaultBodyTimeout
	}
	if o.Inflight <= 0 {
		o.Inflight = DefaultInflight
	}
	o.Inflight = max(o.Inflight, o.MaxBody)
	return &Handler{o: o, inflight: semaphore.NewWeighted(o.Inflight)}, nil
}

// answer is the body of every response.
type answer struct {
	Delivery string `json:"delivery,omitempty"`
	Status   string `json:"status"` // accepted, duplicate, ignored, pong or refused
	Reason   string `json:"reason,omitempty"`
	code     int
}

func refuse(code int, reason string) answer {
	return answer{Status: "refused", Reason: reason, code: code}
}

// ServeHTTP takes one delivery.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.serve(w, r)
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	switch a.code {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", retryAfter)
	}
	if a.Status == "refused" {
		// The rest of the body isn't worth reading.
		header.Set("Connection", "close")
	}
	w.WriteHeader(a.code)
	_ = json.NewEncoder(w).Encode(a) // the sender may be gone; nothing is left to tell it
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) answer {
	d, bad := h.delivery(r)
	if bad != nil {
		return *bad
	}
	log := h.o.Logger.With("delivery", d.id, "event", d.event)
	body, bad := h.body(w, r)
	if bad != nil {
		log.WarnContext(r.Context(), "delivery refused", "code", bad.code, "reason", bad.Reason)
		return *bad
	}
	defer h.inflight.Release(body.share)
	if !h.signed(d.mac, body.bytes) {
		log.WarnContext(r.Context(), "delivery refused", "code", http.StatusUnauthorized, "reason", "signature")
		return refuse(http.StatusUnauthorized, "the signature doesn't match; set the same webhook secret here and in the App")
	}
	if d.event == "ping" {
		if !json.Valid(body.bytes) {
			return refuse(http.StatusBadRequest, "the payload is not JSON")
		}
		return answer{Delivery: d.id, Status: "pong", code: http.StatusOK}
	}
	event, err := Parse(d.event, d.id, body.bytes)
	switch {
	case errors.Is(err, ErrIgnored):
		log.DebugContext(r.Context(), "delivery ignored", "reason", err)
		return answer{Delivery: d.id, Status: "ignored", Reason: err.Error(), code: http.StatusAccepted}
	case err != nil:
		log.WarnContext(r.Context(), "delivery refused", "code", http.StatusBadRequest, "reason", err)
		return refuse(http.StatusBadRequest, err.Error())
	}
	ctx, cancel := context.WithTimeout(r.Context(), acceptTimeout)
	defer cancel()
	duplicate, err := h.o.Accept(ctx, event)
	switch {
	case err != nil:
		log.ErrorContext(ctx, "delivery not stored", "action", event.Action, "error", err)
		return refuse(http.StatusServiceUnavailable, "the event could not be stored; redeliver it")
	case duplicate:
		log.DebugContext(ctx, "delivery worked before", "action", event.Action)
		return answer{Delivery: d.id, Status: "duplicate", code: http.StatusOK}
	}
	log.DebugContext(ctx, "delivery accepted", "action", event.Action, "keys", len(event.Keys))
	return answer{Delivery: d.id, Status: "accepted", code: http.StatusAccepted}
}

// head is what the headers say of a delivery.
type head struct {
	id, event string
	mac       []byte
}

var (
	// GitHub sends GUIDs; proxies and people who replay deliveries have ids of their own.
	deliveryID = regexp.MustCompile(`^[0-9a-z][0-9a-z-]{0,71}$`)
	eventName  = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)
)

// delivery reads the headers, in the order in which a mistake in the App's settings
// is best explained.
func (h *Handler) delivery(r *http.Request) (head, *answer) {
	bad := func(code int, reason string) (head, *answer) {
		a := refuse(code, reason)
		return head{}, &a
	}
	if r.Method != http.MethodPost {
		return bad(http.StatusMethodNotAllowed, "deliveries are posted")
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case media == "application/x-www-form-urlencoded":
		return bad(http.StatusUnsupportedMediaType, "set the webhook's content type to application/json in the App's settings")
	case err != nil || media != "application/json":
		return bad(http.StatusUnsupportedMediaType, "want the content type application/json")
	case r.Header.Get("Content-Encoding") != "":
		return bad(http.StatusUnsupportedMediaType, "the body must not be encoded")
	case r.ContentLength > h.o.MaxBody:
		return bad(http.StatusRequestEntityTooLarge, "the body is too large")
	}
	d := head{id: strings.ToLower(only(r, "X-GitHub-Delivery")), event: only(r, "X-GitHub-Event")}
	switch {
	case !deliveryID.MatchString(d.id):
		return bad(http.StatusBadRequest, "X-GitHub-Delivery must be one GUID, or 1 to 72 letters, digits and hyphens")
	case !eventName.MatchString(d.event):
		return bad(http.StatusBadRequest, "X-GitHub-Event must be the name of an event")
	}
	sum, ok := strings.CutPrefix(only(r, "X-Hub-Signature-256"), "sha256=")
	d.mac, err = hex.DecodeString(sum)
	if !ok || err != nil || len(d.mac) != sha256.Size {
		return bad(http.StatusUnauthorized, "X-Hub-Signature-256 is missing or malformed; set a webhook secret in the App's settings")
	}
	return d, nil
}

// only gives a header's value, or "" when it is not there exactly once.
func only(r *http.Request, name string) string {
	if v := r.Header.Values(name); len(v) == 1 {
		return v[0]
	}
	return ""
}

// signed says whether one of the secrets made a MAC of a body. It takes as long
// whichever did.
func (h *Handler) signed(mac, body []byte) bool {
	match := false
	for _, secret := range h.o.Secrets {
		m := hmac.New(sha256.New, secret)
		m.Write(body)
		if hmac.Equal(m.Sum(nil), mac) {
			match = true
		}
	}
	return match
}

// held is a body, and what it takes of inflight, to be released.
type held struct {
	bytes []byte
	share int64
}

// body reads the body. When there is none to answer for, the share is released.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) (held, *answer) {
	share := r.ContentLength
	if share < 0 { // chunked: it may be as large as it likes
		share = h.o.MaxBody
	}
	ctx, cancel := context.WithTimeout(r.Context(), admitTimeout)
	defer cancel()
	if err := h.inflight.Acquire(ctx, share); err != nil {
		a := refuse(http.StatusServiceUnavailable, "too much comes in at once; redeliver it")
		return held{}, &a
	}
	control := http.NewResponseController(w)
	// A writer that knows no deadlines, as in tests, is not one of a slow sender's.
	_ = control.SetReadDeadline(time.Now().Add(h.o.BodyTimeout))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.o.MaxBody))
	if err == nil {
		// Only now: after an error the server reads the rest of the body, and must not
		// wait for it.
		_ = control.SetReadDeadline(time.Time{})
		return held{bytes: b, share: share}, nil
	}
	h.inflight.Release(share)
	a := refuse(http.StatusBadRequest, "the body did not come in whole, or not in time")
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		a = refuse(http.StatusRequestEntityTooLarge, "the body is too large")
	}
	return held{}, &a
}
