package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gh "github.com/google/go-github/v60/github"
)

// maxBody bounds what is read of one response, in bytes. The largest that we ask
// for is a page of 100 pull requests, about 3 MB.
const maxBody = 32 << 20

// client is go-github's client with the memory of rate limits that it lacks: it
// forgets a 429, and a secondary limit without Retry-After.
type client struct {
	rest   *gh.Client
	tokens *tokens // nil for the App itself
	now    func() time.Time

	mu     sync.Mutex
	parked time.Time // nothing is sent before; guarded by mu
}

func (a *App) client(transport http.RoundTripper, tokens *tokens) *client {
	rest := gh.NewClient(&http.Client{
		Transport: guarded{transport, a.api.Host},
		Timeout:   a.config.Timeout,
	})
	rest.BaseURL, rest.UserAgent = a.api, a.config.UserAgent
	if t, ok := transport.(*ghinstallation.AppsTransport); ok {
		t.BaseURL = strings.TrimSuffix(a.api.String(), "/")
	}
	return &client{rest: rest, tokens: tokens, now: a.config.Now}
}

// call makes one REST call: not at all while the client is parked, and with its
// error classified.
func call[T any](ctx context.Context, c *client, what string, send func() (T, *gh.Response, error)) (T, error) {
	v, _, err := page(ctx, c, what, send)
	return v, err
}

// page is call for one page of a list; next is 0 on the last.
func page[T any](ctx context.Context, c *client, what string, send func() (T, *gh.Response, error)) (v T, next int, err error) {
	if err := c.wait(what); err != nil {
		return v, 0, err
	}
	if err := ctx.Err(); err != nil {
		return v, 0, wrap(what, err, c.now())
	}
	v, response, err := send()
	if err != nil {
		err := wrap(what, err, c.now())
		c.park(err)
		return v, 0, err
	}
	return v, response.NextPage, nil
}

// pages reads a list to its end.
func pages[T any](ctx context.Context, c *client, what string, send func(gh.ListOptions) ([]T, *gh.Response, error)) ([]T, error) {
	var all []T
	o := gh.ListOptions{Page: 1, PerPage: 100}
	for {
		list, next, err := page(ctx, c, what, func() ([]T, *gh.Response, error) { return send(o) })
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if next <= o.Page { // also ends on a server that goes in circles
			return all, nil
		}
		o.Page = next
	}
}

// wait refuses a call while GitHub wants to be left alone.
func (c *client) wait(what string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.parked.Sub(c.now()); left > 0 {
		return &Error{What: what, Class: RateLimited, After: left, cause: errors.New("waiting for the rate limit of an earlier call")}
	}
	return nil
}

func (c *client) park(err *Error) {
	if err.Class != RateLimited {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := c.now().Add(err.After); until.After(c.parked) {
		c.parked = until
	}
}

// limited bounds what is read of every response, that to a token request too.
type limited struct{ next http.RoundTripper }

func (l limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxBody)
	}
	return resp, err
}

// guarded keeps requests on the API's host. The request that a response remembers
// is the one before authentication, so that no error value holds a token.
type guarded struct {
	next http.RoundTripper
	host string
}

func (b guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.EqualFold(req.URL.Host, b.host) {
		return nil, fmt.Errorf("refusing to send a token to %s: it isn't the API's host", req.URL.Host)
	}
	// The App's transport writes into the request that it is given.
	resp, err := b.next.RoundTrip(req.Clone(req.Context()))
	if err != nil {
		return nil, err
	}
	resp.Request = req
	return resp, nil
}

// tokens authenticates requests as an installation. A token that GitHub refuses
// (revoked, or permissions changed) is dropped and the request sent once more
// with a new one.
type tokens struct {
	app          *App
	installation int64
	host         string

	mu      sync.Mutex
	current *ghinstallation.Transport // guarded by mu; nil: make a new one
}

// transport gives each its own AppsTransport: ghinstallation writes to it when it
// refreshes, which would be a race between installations.
func (t *tokens) transport() *ghinstallation.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil {
		c := t.app.config
		t.current = ghinstallation.NewFromAppsTransport(ghinstallation.NewAppsTransportFromPrivateKey(c.Transport, c.ID, t.app.key), t.installation)
		t.current.BaseURL = strings.TrimSuffix(t.app.api.String(), "/")
	}
	return t.current
}

func (t *tokens) drop(used *ghinstallation.Transport) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == used {
		t.current = nil
	}
}

func (t *tokens) token(ctx context.Context) (string, error) {
	token, err := t.transport().Token(ctx)
	return token, tokenError(err)
}

func (t *tokens) RoundTrip(req *http.Request) (*http.Response, error) {
	used := t.transport()
	resp, err := used.RoundTrip(req)
	if err != nil {
		return nil, tokenError(err)
	}
	if resp.StatusCode != http.StatusUnauthorized || (req.Body != nil && req.GetBody == nil) {
		return resp, nil
	}
	t.drop(used)
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil // the first answer stands
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
	resp.Body.Close()
	resp, err = t.transport().RoundTrip(again)
	return resp, tokenError(err)
}

// refusedToken says that GitHub gave no token.
type refusedToken struct {
	status  int
	header  http.Header
	message string // GitHub's own, at most 4 KiB were read
}

func (e *refusedToken) Error() string {
	return fmt.Sprintf("no installation token: %d %s", e.status, e.message)
}

// tokenError reads the answer that ghinstallation leaves unread and open.
func tokenError(err error) error {
	var refused *ghinstallation.HTTPError
	if !errors.As(err, &refused) || refused.Response == nil || refused.RootCause != nil {
		return err
	}
	defer refused.Response.Body.Close()
	var answer struct {
		Message string `json:"message"`
	}
	b, _ := io.ReadAll(io.LimitReader(refused.Response.Body, 4096))
	_ = json.Unmarshal(b, &answer) // without a message the status speaks
	return &refusedToken{refused.Response.StatusCode, refused.Response.Header, answer.Message}
}
