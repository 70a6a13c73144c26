package github

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v60/github"

	"github.com/conductor-dev/conductor/reconcile"
)

// Class says what an error asks of the caller.
type Class string

const (
	// RateLimited: send nothing to this installation for Error.After.
	RateLimited Class = "rate limited"
	// Transient: try again with backoff (5xx, timeouts, cut connections).
	Transient Class = "transient"
	// Auth: the App's key, id or clock is wrong, or a token was refused twice.
	Auth Class = "authentication"
	// Permission: the App may not do this; trying again doesn't help.
	Permission Class = "permission"
	// NotFound: it isn't there, or not yet: the API lags behind events.
	NotFound Class = "not found"
	// Conflict: the state changed meanwhile; read it again.
	Conflict Class = "conflict"
	// Invalid: GitHub refuses the content; trying again doesn't help.
	Invalid Class = "invalid"
)

// Error is an error of a call to GitHub. It matches reconcile.ErrNotFound with
// errors.Is when its class is NotFound.
type Error struct {
	What  string // what was attempted on what
	Class Class
	// After is how long to wait at least before the next try; 0: as the caller likes.
	After time.Duration
	cause error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %v", e.What, e.cause)
	switch e.Class {
	case Auth:
		s += "; check the App's id and private key, and this machine's clock"
	case Permission:
		s += "; check the App's permissions, and that the installation accepted them"
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is makes NotFound match reconcile.ErrNotFound.
func (e *Error) Is(target error) bool {
	return e.Class == NotFound && target == reconcile.ErrNotFound
}

// RetryAfter is how long to wait at least before the next try; 0 leaves it to the
// caller's backoff.
func (e *Error) RetryAfter() time.Duration { return e.After }

// Permanent reports whether trying the same again can't help. Auth isn't: an
// operator repairs it, and NotFound isn't, because the API lags behind events.
func (e *Error) Permanent() bool { return e.Class == Permission || e.Class == Invalid }

func wrap(what string, err error, now time.Time) *Error {
	class, after := Classify(err, now)
	return &Error{What: what, Class: class, After: after, cause: err}
}

// Waits where GitHub names none, and bounds on what it names.
const (
	secondaryWait = time.Minute     // "at least one minute" (REST docs, secondary rate limits)
	authWait      = time.Minute     // a key or a clock isn't repaired sooner
	minWait       = time.Second     // a reset in the past or in this second
	maxWait       = 2 * time.Hour   // primary limits reset hourly; more is a broken header
	resetSlack    = 2 * time.Second // resets are in whole seconds, and clocks differ
)

// Classify decides what an error of go-github, ghinstallation or the network asks
// for, and how long to wait before anything is sent again (0: not said). It is
// pure: now is used for reset times only.
func Classify(err error, now time.Time) (Class, time.Duration) {
	var (
		known     *Error
		primary   *gh.RateLimitError
		secondary *gh.AbuseRateLimitError
		answer    *gh.ErrorResponse
		otp       *gh.TwoFactorAuthError
		accepted  *gh.AcceptedError
		refused   *refusedToken
	)
	switch {
	case errors.As(err, &known):
		return known.Class, known.After
	case errors.As(err, &primary):
		if after, said := retryAfter(header(primary.Response)); said {
			return RateLimited, after
		}
		return RateLimited, untilReset(primary.Rate.Reset.Time, now)
	case errors.As(err, &secondary):
		return RateLimited, secondaryAfter(secondary, now)
	case errors.As(err, &answer):
		if answer.Response == nil {
			return Transient, 0
		}
		return classifyStatus(answer.Response.StatusCode, answer.Response.Header, answer.Message+" "+answer.DocumentationURL, now)
	case errors.As(err, &refused):
		return classifyStatus(refused.status, refused.header, refused.message, now)
	case errors.As(err, &otp):
		return Auth, authWait
	case errors.As(err, &accepted):
		return Transient, 0
	case errors.Is(err, reconcile.ErrNotFound):
		return NotFound, 0
	}
	// Timeouts, cut connections, broken JSON, and what nobody thought of: later
	// is another chance, and the caller bounds how often.
	return Transient, 0
}

// classifyStatus decides by status, headers and message. A 429 is no error type
// of its own in go-github v60, and a 403 is three things.
func classifyStatus(status int, h http.Header, message string, now time.Time) (Class, time.Duration) {
	message = strings.ToLower(message)
	limited := status == http.StatusTooManyRequests || status == http.StatusForbidden &&
		(h.Get("Retry-After") != "" || h.Get("X-RateLimit-Remaining") == "0" ||
			strings.Contains(message, "rate limit") || strings.Contains(message, "rate-limit") || strings.Contains(message, "abuse detection"))
	switch {
	case limited:
		return RateLimited, limitWait(h, now)
	case status == http.StatusUnauthorized:
		return Auth, authWait
	case status == http.StatusForbidden && strings.Contains(message, "suspended"):
		return NotFound, 0 // a suspended installation is as good as removed
	case status == http.StatusForbidden, status == http.StatusUnavailableForLegalReasons:
		return Permission, 0
	case status == http.StatusNotFound, status == http.StatusGone:
		return NotFound, 0
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return Conflict, 0
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		after, _ := retryAfter(h)
		return Transient, after
	case status >= 400:
		return Invalid, 0
	}
	return Transient, 0
}

// limitWait is GitHub's rule: Retry-After, else the reset when nothing remains,
// else a minute.
func limitWait(h http.Header, now time.Time) time.Duration {
	if after, said := retryAfter(h); said {
		return after
	}
	if h.Get("X-RateLimit-Remaining") == "0" {
		if s, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil && s > 0 {
			return untilReset(time.Unix(s, 0), now)
		}
	}
	return secondaryWait
}

// secondaryAfter distrusts RetryAfter where go-github made it from the reset of
// the primary limit, which has nothing to do with the secondary one.
func secondaryAfter(e *gh.AbuseRateLimitError, now time.Time) time.Duration {
	h := header(e.Response)
	if len(h) == 0 && e.RetryAfter != nil { // remembered by the client, not answered by GitHub
		return clamp(*e.RetryAfter)
	}
	return limitWait(h, now)
}

func retryAfter(h http.Header) (time.Duration, bool) {
	s, err := strconv.ParseInt(strings.TrimSpace(h.Get("Retry-After")), 10, 64)
	if err != nil || s < 0 {
		return 0, false
	}
	return clamp(time.Duration(min(s, int64(maxWait/time.Second))) * time.Second), true
}

func untilReset(reset, now time.Time) time.Duration {
	if reset.IsZero() {
		return secondaryWait
	}
	return clamp(reset.Sub(now) + resetSlack)
}

func clamp(d time.Duration) time.Duration { return min(max(d, minWait), maxWait) }

func header(r *http.Response) http.Header {
	if r == nil {
		return nil
	}
	return r.Header
}

// lost reports whether a write may have been done although its answer didn't
// arrive: a server error, a timeout, a cut connection.
func lost(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Class != Transient {
		return false
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return false // it was never sent
	}
	return true
}
