package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/bot/webhook"
	"github.com/conductor-dev/conductor/reconcile"
)

const (
	secret = "It's a Secret to Everybody"
	guid   = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
)

func sign(key string, body []byte) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

// inbox keeps what a handler accepted.
type inbox struct {
	mu     sync.Mutex
	events []reconcile.Event
	done   map[string]bool
	err    error
}

func (i *inbox) accept(_ context.Context, e reconcile.Event) (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return false, i.err
	}
	if i.done[e.Delivery] {
		return true, nil
	}
	i.events = append(i.events, e)
	return false, nil
}

func newHandler(t testing.TB, o webhook.Options) (*webhook.Handler, *inbox) {
	t.Helper()
	in := &inbox{done: map[string]bool{}}
	if o.Secrets == nil {
		o.Secrets = [][]byte{[]byte(secret)}
	}
	if o.Accept == nil {
		o.Accept = in.accept
	}
	h, err := webhook.New(o)
	require.NoError(t, err)
	return h, in
}

// request is a delivery as GitHub sends it.
func request(event string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-GitHub-Delivery", guid)
	r.Header.Set("X-GitHub-Event", event)
	r.Header.Set("X-Hub-Signature-256", sign(secret, body))
	return r
}

func serve(h http.Handler, r *http.Request) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

var reviewed = []byte(`{"action":"submitted","pull_request":{"number":7},"installation":{"id":3},
	"repository":{"id":1,"full_name":"octo/infra","default_branch":"main","clone_url":"https://github.com/octo/infra.git"}}`)

func TestNew_RefusesToTakeUnsignedDeliveries(t *testing.T) {
	accept := func(context.Context, reconcile.Event) (bool, error) { return false, nil }
	for name, secrets := range map[string][][]byte{
		"none":          nil,
		"empty":         {{}},
		"second empty":  {[]byte("a"), {}},
		"more than two": {[]byte("a"), []byte("b"), []byte("c")},
	} {
		_, err := webhook.New(webhook.Options{Secrets: secrets, Accept: accept})
		assert.ErrorContains(t, err, "set the App's webhook secret", name)
	}
	_, err := webhook.New(webhook.Options{Secrets: [][]byte{[]byte("a")}})
	assert.ErrorContains(t, err, "nothing accepts events")
}

func TestHandler_AnswersAfterTheEventWasAccepted(t *testing.T) {
	h, in := newHandler(t, webhook.Options{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("pull_request_review", reviewed))
	assert.Equal(t, http.StatusAccepted, w.Code)
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	assert.JSONEq(t, `{"delivery":"`+guid+`","status":"accepted"}`, w.Body.String())
	assert.Equal(t, []reconcile.Event{{
		Delivery: guid, Name: "pull_request_review", Action: "submitted",
		Repos: []reconcile.Repo{{ID: "1", Installation: 3, Owner: "octo", Name: "infra", DefaultBranch: "main", CloneURL: "https://github.com/octo/infra.git"}},
		Keys:  []reconcile.Key{reconcile.PullKey("1", 7)},
	}}, in.events)

	in.done[guid] = true
	code, body := serve(h, request("pull_request_review", reviewed))
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, body, `"duplicate"`)
}

func TestHandler_SaysWhenTheEventWasNotStored(t *testing.T) {
	h, in := newHandler(t, webhook.Options{})
	in.err = errors.New("disk full: /secret/path")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("pull_request_review", reviewed))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.NotEmpty(t, w.Header().Get("Retry-After"))
	assert.NotContains(t, w.Body.String(), "disk full", "the cause is for the log")
}

func TestHandler_RefusesWhatIsNoDelivery(t *testing.T) {
	sha1mac := hmac.New(sha1.New, []byte(secret))
	sha1mac.Write(reviewed)
	nested := []byte(strings.Repeat("[", 20000) + strings.Repeat("]", 20000))
	nestedField := []byte(`{"action":"submitted","x":` + string(nested) + `}`)
	deepButFine := []byte(`{"action":"submitted","x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`)
	for name, c := range map[string]struct {
		change func(*http.Request)
		body   []byte
		code   int
		says   string
	}{
		"get":            {func(r *http.Request) { r.Method = http.MethodGet }, nil, 405, "posted"},
		"form":           {func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, nil, 415, "content type to application/json"},
		"text":           {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, nil, 415, "application/json"},
		"no type":        {func(r *http.Request) { r.Header.Del("Content-Type") }, nil, 415, "application/json"},
		"gzip":           {func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, nil, 415, "encoded"},
		"no delivery":    {func(r *http.Request) { r.Header.Del("X-GitHub-Delivery") }, nil, 400, "GUID"},
		"odd delivery":   {func(r *http.Request) { r.Header.Set("X-GitHub-Delivery", "../../etc/passwd") }, nil, 400, "GUID"},
		"long delivery":  {func(r *http.Request) { r.Header.Set("X-GitHub-Delivery", strings.Repeat("a", 1<<16)) }, nil, 400, "GUID"},
		"two deliveries": {func(r *http.Request) { r.Header.Add("X-GitHub-Delivery", guid) }, nil, 400, "GUID"},
		"no event":       {func(r *http.Request) { r.Header.Del("X-GitHub-Event") }, nil, 400, "event"},
		"odd event":      {func(r *http.Request) { r.Header.Set("X-GitHub-Event", "<script>") }, nil, 400, "event"},
		"no signature":   {func(r *http.Request) { r.Header.Del("X-Hub-Signature-256") }, nil, 401, "secret"},
		"only sha1": {func(r *http.Request) {
			r.Header.Del("X-Hub-Signature-256")
			r.Header.Set("X-Hub-Signature", "sha1="+hex.EncodeToString(sha1mac.Sum(nil)))
		}, nil, 401, "secret"},
		"sha1 as sha256": {func(r *http.Request) {
			r.Header.Set("X-Hub-Signature-256", "sha1="+hex.EncodeToString(sha1mac.Sum(nil)))
		}, nil, 401, "secret"},
		"short signature":    {func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256=00") }, nil, 401, "secret"},
		"two signatures":     {func(r *http.Request) { r.Header.Add("X-Hub-Signature-256", sign(secret, reviewed)) }, nil, 401, "secret"},
		"other secret":       {func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", sign("guess", reviewed)) }, nil, 401, "same webhook secret"},
		"empty secret":       {func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", sign("", reviewed)) }, nil, 401, "same webhook secret"},
		"not json":           {nil, []byte(`{"action":`), 400, "payload"},
		"two values":         {nil, []byte(`{} {}`), 400, "payload"},
		"empty":              {nil, []byte{}, 400, "payload"},
		"null":               {nil, []byte(`null`), 400, "null"},
		"array":              {nil, []byte(`[]`), 400, "payload"},
		"nesting bomb":       {nil, nested, 400, "payload"},
		"nesting in a field": {nil, nestedField, 400, "payload"},
		"deep, but no facts": {nil, deepButFine, 400, "no repository"},
		"no facts":           {nil, []byte(`{}`), 400, "no repository"},
		"path as name":       {nil, []byte(`{"repository":{"id":1,"full_name":"../.."},"pull_request":{"number":1}}`), 400, "malformed"},
		"negative number":    {nil, []byte(`{"repository":{"id":1,"full_name":"a/b"},"pull_request":{"number":-1}}`), 400, "no pull request"},
		"huge number":        {nil, []byte(`{"repository":{"id":1,"full_name":"a/b"},"pull_request":{"number":99999999999999999999}}`), 400, "payload"},
		"long action":        {nil, []byte(`{"action":"` + strings.Repeat("a", 100) + `"}`), 400, "action"},
	} {
		t.Run(name, func(t *testing.T) {
			h, in := newHandler(t, webhook.Options{})
			body := c.body
			if body == nil {
				body = reviewed
			}
			r := request("pull_request_review", body)
			if c.change != nil {
				c.change(r)
			}
			code, got := serve(h, r)
			assert.Equal(t, c.code, code)
			assert.Contains(t, got, c.says)
			assert.Contains(t, got, `"refused"`)
			assert.Empty(t, in.events)
		})
	}
}

func TestHandler_DoesNotReadTheBodyOfAnUnsignedDelivery(t *testing.T) {
	h, _ := newHandler(t, webhook.Options{})
	r := request("push", nil)
	r.Header.Del("X-Hub-Signature-256")
	r.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
		t.Error("the body was read")
		return 0, io.EOF
	}))
	code, _ := serve(h, r)
	assert.Equal(t, http.StatusUnauthorized, code)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestHandler_TakesEitherSecretWhileRotating(t *testing.T) {
	h, _ := newHandler(t, webhook.Options{Secrets: [][]byte{[]byte("new"), []byte("old")}})
	for key, want := range map[string]int{"new": 202, "old": 202, "older": 401} {
		r := request("pull_request_review", reviewed)
		r.Header.Set("X-Hub-Signature-256", sign(key, reviewed))
		code, _ := serve(h, r)
		assert.Equal(t, want, code, key)
	}
}

// The example of GitHub's documentation.
func TestHandler_VerifiesGitHubsOwnExample(t *testing.T) {
	h, _ := newHandler(t, webhook.Options{})
	r := request("ping", []byte("Hello, World!"))
	r.Header.Set("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	code, body := serve(h, r)
	assert.Equal(t, http.StatusBadRequest, code, "signed rightly, but no JSON")
	assert.Contains(t, body, "not JSON")
}

func TestHandler_EveryByteOfTheBodyIsSigned(t *testing.T) {
	h, in := newHandler(t, webhook.Options{})
	for i := range reviewed {
		changed := bytes.Clone(reviewed)
		changed[i] ^= 1
		r := request("pull_request_review", changed)
		r.Header.Set("X-Hub-Signature-256", sign(secret, reviewed))
		code, _ := serve(h, r)
		require.Equal(t, http.StatusUnauthorized, code)
	}
	assert.Empty(t, in.events)
}

func TestHandler_IgnoresUnlistedEventsAndAnswersPings(t *testing.T) {
	h, in := newHandler(t, webhook.Options{})
	code, body := serve(h, request("workflow_run", []byte(`{"action":7}`)))
	assert.Equal(t, http.StatusAccepted, code)
	assert.Contains(t, body, `"ignored"`)
	code, body = serve(h, request("ping", []byte(`{"zen":"Keep it logically awesome."}`)))
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, body, `"pong"`)
	code, _ = serve(h, request("workflow_run", []byte(`{`)))
	assert.Equal(t, http.StatusBadRequest, code)
	assert.Empty(t, in.events)
}

func TestHandler_DeliveryIDsAreComparedInLowerCase(t *testing.T) {
	h, in := newHandler(t, webhook.Options{})
	r := request("pull_request_review", reviewed)
	r.Header.Set("X-GitHub-Delivery", strings.ToUpper(guid))
	code, _ := serve(h, r)
	assert.Equal(t, http.StatusAccepted, code)
	assert.Equal(t, guid, in.events[0].Delivery)
}

// endless is a body that would never end.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read.Add(int64(len(p)))
	return len(p), nil
}

func TestHandler_BoundsTheBody(t *testing.T) {
	const bound = 1 << 16
	h, in := newHandler(t, webhook.Options{MaxBody: bound})
	padded := append(bytes.Clone(reviewed), bytes.Repeat([]byte(" "), bound-len(reviewed))...)
	code, _ := serve(h, request("pull_request_review", padded))
	assert.Equal(t, http.StatusAccepted, code, "exactly the bound")
	code, _ = serve(h, request("pull_request_review", append(padded, ' ')))
	assert.Equal(t, http.StatusRequestEntityTooLarge, code, "declared")

	server := httptest.NewServer(h)
	defer server.Close()
	body := &endless{}
	r, err := http.NewRequest(http.MethodPost, server.URL, body) // chunked
	require.NoError(t, err)
	r.Header = request("pull_request_review", reviewed).Header
	if resp, err := server.Client().Do(r); err == nil { // the server may hang up before we read the answer
		assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		resp.Body.Close()
	}
	assert.Less(t, body.read.Load(), int64(64<<20))
	assert.Len(t, in.events, 1)
}

func TestHandler_GivesUpOnSlowAndTruncatedBodies(t *testing.T) {
	h, in := newHandler(t, webhook.Options{BodyTimeout: 50 * time.Millisecond})
	server := httptest.NewServer(h)
	defer server.Close()
	for name, end := range map[string]func(*net.TCPConn){
		"slow":      func(*net.TCPConn) {},
		"truncated": func(c *net.TCPConn) { _ = c.CloseWrite() },
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "POST /webhook HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX-GitHub-Delivery: %s\r\n"+
			"X-GitHub-Event: push\r\nX-Hub-Signature-256: %s\r\nContent-Length: 1000\r\n\r\n{", guid, sign(secret, nil))
		require.NoError(t, err)
		end(conn.(*net.TCPConn))
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
		answer, err := io.ReadAll(conn)
		require.NoError(t, err, name)
		assert.Contains(t, string(answer), "400 Bad Request", name)
		conn.Close()
	}
	assert.Empty(t, in.events)
}

func TestHandler_SlowBodiesLeaveTheConnectionOfOthersAlone(t *testing.T) {
	h, _ := newHandler(t, webhook.Options{BodyTimeout: 100 * time.Millisecond})
	server := httptest.NewServer(h)
	defer server.Close()
	for range 3 { // one kept-alive connection, used again after the deadline of the first
		r := request("pull_request_review", reviewed)
		out, err := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(reviewed))
		require.NoError(t, err)
		out.Header = r.Header
		resp, err := server.Client().Do(out)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		assert.Equal(t, http.StatusAccepted, resp.StatusCode)
		time.Sleep(120 * time.Millisecond)
	}
}

func TestHandler_BoundsAllBodiesTogether(t *testing.T) {
	block := make(chan struct{})
	var inside, most atomic.Int64
	h, _ := newHandler(t, webhook.Options{
		MaxBody: 1024, Inflight: 2048,
		Accept: func(context.Context, reconcile.Event) (bool, error) {
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			<-block
			return false, nil
		},
	})
	padded := append(bytes.Clone(reviewed), bytes.Repeat([]byte(" "), 1024-len(reviewed))...)
	var wg sync.WaitGroup
	codes := make([]int, 6)
	for i := range codes {
		wg.Go(func() { codes[i], _ = serve(h, request("pull_request_review", padded)) })
	}
	time.Sleep(50 * time.Millisecond)
	close(block)
	wg.Wait()
	assert.LessOrEqual(t, most.Load(), int64(2))
	for _, code := range codes {
		assert.Equal(t, http.StatusAccepted, code, "the others waited")
	}
}

func BenchmarkHandler(b *testing.B) {
	var body []byte
	for _, e := range examples(b) {
		if e.event == "pull_request" && e.action == "synchronize" {
			body = e.payload
		}
	}
	h, in := newHandler(b, webhook.Options{})
	in.done[guid] = true
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if code, answer := serve(h, request("pull_request", body)); code != http.StatusOK {
			b.Fatal(code, answer)
		}
	}
}

func FuzzHandler(f *testing.F) {
	f.Add("POST", "application/json", guid, "pull_request_review", reviewed, true)
	f.Add("POST", "application/json; charset=utf-8", guid, "push", []byte(`{"ref":"refs/heads/main"}`), true)
	f.Add("PUT", "text/x;;", "x", "\x00", []byte{0xff}, false)
	for _, e := range examples(f) {
		f.Add("POST", "application/json", guid, e.event, []byte(e.payload), true)
	}
	h, _ := newHandler(f, webhook.Options{MaxBody: 1 << 16})
	allowed := map[int]bool{200: true, 202: true, 400: true, 401: true, 405: true, 413: true, 415: true}
	f.Fuzz(func(t *testing.T, method, contentType, delivery, event string, body []byte, signed bool) {
		r := httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader(body))
		r.Method = method
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-GitHub-Delivery", delivery)
		r.Header.Set("X-GitHub-Event", event)
		if signed {
			r.Header.Set("X-Hub-Signature-256", sign(secret, body))
		}
		code, answer := serve(h, r)
		if !allowed[code] {
			t.Errorf("status %d", code)
		}
		if !signed && code < 400 {
			t.Errorf("unsigned, and got %d", code)
		}
		if !json.Valid([]byte(answer)) {
			t.Errorf("the answer is no JSON: %s", answer)
		}
	})
}
