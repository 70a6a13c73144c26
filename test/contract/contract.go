// Package contract holds what is said between a client and the hub against GitHub's
// own OpenAPI description, trimmed to the operations that the hub serves
// (testdata/github-openapi.json, made by the trim command).
//
// Any test that starts a hub turns it on with one line:
//
//	h, err := hub.Start(hub.Options{Middleware: contract.New(t)})
//
// From then on every request that isn't as GitHub describes it, and every response
// of the hub that isn't, fails the test. Responses are checked but for those in
// lenient, whose published schema GitHub's own examples break.
package contract

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

//go:embed testdata/github-openapi.json
var description []byte

// Checker checks the traffic of one test.
type Checker struct {
	t        testing.TB
	requests bool

	mu     sync.Mutex // guards counts
	counts map[string]int
}

// New returns the middleware that checks requests and responses and reports
// violations to t.
func New(t testing.TB) func(http.Handler) http.Handler { return NewChecker(t).Middleware }

// NewChecker is New for a test that wants to know what was checked.
func NewChecker(t testing.TB) *Checker {
	return &Checker{t: t, requests: true, counts: map[string]int{}}
}

// ResponsesOnly is New for tests that send wrong requests on purpose.
func ResponsesOnly(t testing.TB) func(http.Handler) http.Handler {
	return (&Checker{t: t, counts: map[string]int{}}).Middleware
}

// lenient are the operations whose responses aren't checked, each with its reason.
var lenient = map[string]string{
	"GET /app/installations": "the schema wants an account that is a user and an enterprise at once (allOf), where a single installation has anyOf",
}

// Middleware is for the hub's Options.
func (c *Checker) Middleware(next http.Handler) http.Handler {
	ops, err := operations()
	if err != nil {
		c.t.Errorf("contract: %v", err)
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
		if err != nil {
			c.t.Errorf("contract: read %s %s: %v", r.Method, r.URL.Path, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		op, params := find(ops, r)
		input := c.request(op, params, r, body)
		rec := &recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r)
		// A fault's answer isn't GitHub's, and a cut connection has none.
		if op != nil && rec.status != 0 && rec.Header().Get("X-Hub-Fault") == "" {
			c.response(op, input, rec)
		}
	})
}

// Counts says how many responses of each operation were checked, by "GET /path".
func (c *Checker) Counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for k, v := range c.counts {
		out[k] = v
	}
	return out
}

var filterOptions = func() *openapi3filter.Options {
	o := &openapi3filter.Options{
		AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc,
		SkipSettingDefaults: true, // it would rewrite the request
		MultiError:          true,
	}
	o.WithCustomSchemaErrorFunc(func(err *openapi3.SchemaError) string {
		return "/" + strings.Join(err.JSONPointer(), "/") + ": " + err.Reason
	})
	return o
}()

// request checks a request and returns what its response is checked with.
func (c *Checker) request(op *operation, params map[string]string, r *http.Request, body []byte) *openapi3filter.RequestValidationInput {
	if op == nil {
		if c.requests && !standIn(r) {
			c.t.Errorf("contract: %s %s isn't an operation of GitHub's REST API that the hub knows", r.Method, r.URL.Path)
		}
		return nil
	}
	copied := r.Clone(context.Background())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	// ghinstallation asks for a token with the body "null" where there are no options,
	// which GitHub takes as no body.
	if len(body) == 0 || string(bytes.TrimSpace(body)) == "null" {
		copied.Body, copied.ContentLength = http.NoBody, 0
	}
	input := &openapi3filter.RequestValidationInput{Request: copied, PathParams: params, Route: op.route, Options: filterOptions}
	if c.requests {
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			c.t.Errorf("contract: the request %s %s isn't as GitHub describes it: %v\n%s", r.Method, r.URL.Path, err, cut(body))
		}
	}
	return input
}

func (c *Checker) response(op *operation, input *openapi3filter.RequestValidationInput, rec *recorder) {
	if lenient[op.name] != "" || rec.status == http.StatusNotModified {
		return
	}
	c.mu.Lock()
	c.counts[op.name]++
	c.mu.Unlock()
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: rec.status, Header: rec.Header(), Options: filterOptions}
	out.SetBodyBytes(rec.body.Bytes())
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		c.t.Errorf("contract: the hub's %d to %s isn't as GitHub describes it: %v\n%s", rec.status, op.name, err, cut(rec.body.Bytes()))
	}
}

func cut(b []byte) []byte { return b[:min(len(b), 4000)] }

// standIn is true of the hub's operations that GitHub has in GraphQL only.
func standIn(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/ready_for_review") || strings.HasSuffix(r.URL.Path, "/convert_to_draft")
}

// recorder keeps a copy of what is answered.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// operation is one of GitHub's operations, ready to match.
type operation struct {
	name    string // "GET /repos/{owner}/{repo}"
	method  string
	pattern *regexp.Regexp
	params  []string
	route   *routers.Route
}

var operations = sync.OnceValues(func() ([]*operation, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(description)
	if err != nil {
		return nil, fmt.Errorf("load GitHub's description: %w", err)
	}
	var ops []*operation
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			op := &operation{name: method + " " + path, method: method,
				route: &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: o}}
			op.compile(path)
			ops = append(ops, op)
		}
	}
	// Of two that match, the one with more literal text is meant.
	slices.SortFunc(ops, func(a, b *operation) int {
		literal := func(o *operation) int { return len(parameter.ReplaceAllString(o.name, "")) }
		return literal(b) - literal(a)
	})
	return ops, nil
})

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// spanning are the parameters that may have slashes.
var spanning = []string{"ref", "basehead", "branch", "commit_sha"}

func (o *operation) compile(path string) {
	var b strings.Builder
	at := 0
	for _, m := range parameter.FindAllStringSubmatchIndex(path, -1) {
		name := path[m[2]:m[3]]
		b.WriteString(regexp.QuoteMeta(path[at:m[0]]))
		if slices.Contains(spanning, name) {
			b.WriteString("(.+)")
		} else {
			b.WriteString("([^/]+)")
		}
		o.params, at = append(o.params, name), m[1]
	}
	o.pattern = regexp.MustCompile("^" + b.String() + regexp.QuoteMeta(path[at:]) + "$")
}

func find(ops []*operation, r *http.Request) (*operation, map[string]string) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/api/v3")
	for _, o := range ops {
		m := o.pattern.FindStringSubmatch(path)
		if o.method != r.Method || m == nil {
			continue
		}
		params := map[string]string{}
		for i, name := range o.params {
			v, err := url.PathUnescape(m[i+1])
			if err != nil {
				return nil, nil
			}
			params[name] = v
		}
		return o, params
	}
	return nil, nil
}
