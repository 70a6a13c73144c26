package contract_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/conductor-dev/conductor/test/contract"
)

// spy stands in for a test, to see whether it would fail.
type spy struct {
	testing.TB
	said []string
}

func (s *spy) Errorf(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

func exchange(method, path, body string, status int, answer string) []string {
	s := &spy{}
	h := contract.New(s)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	r := httptest.NewRequestWithContext(context.Background(), method, "/api/v3"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(httptest.NewRecorder(), r)
	return s.said
}

func TestNew_FailsARequestThatGitHubDoesNotDescribe(t *testing.T) {
	const runs = "/repos/o/r/check-runs"
	for name, c := range map[string]struct {
		method, path, body string
		bad                bool
	}{
		"good check run":                  {"POST", runs, `{"name":"a","head_sha":"x","status":"completed","conclusion":"success"}`, false},
		"completed without conclusion":    {"POST", runs, `{"name":"a","head_sha":"x","status":"completed"}`, true},
		"no head":                         {"POST", runs, `{"name":"a"}`, true},
		"unknown conclusion":              {"POST", runs, `{"name":"a","head_sha":"x","status":"completed","conclusion":"good"}`, true},
		"output without summary":          {"POST", runs, `{"name":"a","head_sha":"x","output":{"title":"t"}}`, true},
		"summary too long":                {"POST", runs, `{"name":"a","head_sha":"x","output":{"title":"t","summary":"` + strings.Repeat("x", 65536) + `"}}`, true},
		"51 annotations":                  {"POST", runs, `{"name":"a","head_sha":"x","output":{"title":"t","summary":"s","annotations":[` + strings.Repeat(note+",", 50) + note + `]}}`, true},
		"50 annotations":                  {"POST", runs, `{"name":"a","head_sha":"x","output":{"title":"t","summary":"s","annotations":[` + strings.Repeat(note+",", 49) + note + `]}}`, false},
		"update completed, no conclusion": {"PATCH", runs + "/1", `{"status":"completed"}`, true},
		"comment without body":            {"POST", "/repos/o/r/issues/1/comments", `{}`, true},
		"unknown operation":               {"GET", "/repos/o/r/nonsense", ``, true},
		"ref with slashes":                {"GET", "/repos/o/r/commits/a/b/check-runs", ``, false},
	} {
		t.Run(name, func(t *testing.T) {
			said := exchange(c.method, c.path, c.body, 304, "")
			assert.Equal(t, c.bad, len(said) > 0, "%v", said)
		})
	}
}

const note = `{"path":"a","start_line":1,"end_line":1,"annotation_level":"notice","message":"m"}`

func TestNew_FailsAResponseThatGitHubDoesNotDescribe(t *testing.T) {
	const path = "/repos/o/r/git/ref/heads/main"
	good := `{"ref":"refs/heads/main","node_id":"x","url":"http://h/x","object":{"sha":"` + strings.Repeat("a", 40) + `","type":"commit","url":"http://h/y"}}`
	assert.Empty(t, exchange("GET", path, "", 200, good))
	assert.NotEmpty(t, exchange("GET", path, "", 200, `{"ref":"refs/heads/main"}`))
	assert.NotEmpty(t, exchange("GET", path, "", 200, strings.Replace(good, `"node_id":"x"`, `"node_id":1`, 1)))
}
