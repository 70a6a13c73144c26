package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	gh "github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"

	"github.com/conductor-dev/conductor/reconcile"
)

var testNow = time.Unix(1_800_000_000, 0)

// answer is the error that go-github itself makes of an answer.
func answer(status int, header map[string]string, body string) error {
	h := http.Header{}
	for k, v := range header {
		h.Set(k, v)
	}
	request := &http.Request{Method: "POST", URL: &url.URL{Scheme: "https", Host: "api.example", Path: "/x"}}
	return gh.CheckResponse(&http.Response{StatusCode: status, Header: h, Request: request, Body: io.NopCloser(readerOf(body))})
}

func readerOf(s string) io.Reader { return &onceReader{s} }

type onceReader struct{ s string }

func (r *onceReader) Read(p []byte) (int, error) {
	if r.s == "" {
		return 0, io.EOF
	}
	n := copy(p, r.s)
	r.s = r.s[n:]
	return n, nil
}

func TestClassify(t *testing.T) {
	reset := strconv.FormatInt(testNow.Add(20*time.Minute).Unix(), 10)
	const secondary = `{"message":"You have exceeded a secondary rate limit","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`
	remembered := 90 * time.Second
	for name, c := range map[string]struct {
		err   error
		class Class
		after time.Duration
	}{
		"429 with Retry-After":                     {answer(429, map[string]string{"Retry-After": "17"}, `{"message":"slow down"}`), RateLimited, 17 * time.Second},
		"429 with nothing remaining":               {answer(429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, `{}`), RateLimited, 20*time.Minute + resetSlack},
		"429 that says nothing":                    {answer(429, nil, ``), RateLimited, time.Minute},
		"403 with nothing remaining":               {answer(403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, `{"message":"API rate limit exceeded"}`), RateLimited, 20*time.Minute + resetSlack},
		"403 with nothing remaining, no reset":     {answer(403, map[string]string{"X-RateLimit-Remaining": "0"}, `{}`), RateLimited, time.Minute},
		"403 with a reset in the past":             {answer(403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, `{}`), RateLimited, time.Second},
		"403 secondary with Retry-After":           {answer(403, map[string]string{"Retry-After": "120"}, secondary), RateLimited, 2 * time.Minute},
		"403 secondary, the primary reset is far":  {answer(403, map[string]string{"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": reset}, secondary), RateLimited, time.Minute},
		"403 secondary by message alone":           {answer(403, nil, `{"message":"You have exceeded a secondary rate limit. Please wait"}`), RateLimited, time.Minute},
		"403 abuse by message alone":               {answer(403, nil, `{"message":"You have triggered an abuse detection mechanism"}`), RateLimited, time.Minute},
		"403 with an absurd Retry-After":           {answer(403, map[string]string{"Retry-After": "99999999999"}, secondary), RateLimited, maxWait},
		"403 with a broken Retry-After":            {answer(429, map[string]string{"Retry-After": "soon"}, `{}`), RateLimited, time.Minute},
		"secondary limit remembered by the client": {&gh.AbuseRateLimitError{Response: &http.Response{StatusCode: 403, Header: http.Header{}}, RetryAfter: &remembered}, RateLimited, remembered},
		"primary limit remembered by the client": {&gh.RateLimitError{Rate: gh.Rate{Reset: gh.Timestamp{Time: testNow.Add(time.Minute)}},
			Response: &http.Response{StatusCode: 403, Header: http.Header{}}}, RateLimited, time.Minute + resetSlack},
		"403 permission":             {answer(403, map[string]string{"X-RateLimit-Remaining": "4999"}, `{"message":"Resource not accessible by integration"}`), Permission, 0},
		"403 suspended":              {&refusedToken{403, http.Header{}, "This installation has been suspended"}, NotFound, 0},
		"403 for a token":            {&refusedToken{403, http.Header{}, "no"}, Permission, 0},
		"404 for a token":            {&refusedToken{404, http.Header{}, "Not Found"}, NotFound, 0},
		"401 for a token":            {&refusedToken{401, http.Header{}, "'Expiration time' claim"}, Auth, authWait},
		"500 for a token":            {&refusedToken{500, http.Header{}, ""}, Transient, 0},
		"451":                        {answer(451, nil, `{"message":"Repository access blocked"}`), Permission, 0},
		"401":                        {answer(401, nil, `{"message":"Bad credentials"}`), Auth, authWait},
		"401 with a second factor":   {answer(401, map[string]string{"X-GitHub-OTP": "required; app"}, `{}`), Auth, authWait},
		"404":                        {answer(404, nil, `{"message":"Not Found"}`), NotFound, 0},
		"410":                        {answer(410, nil, `{"message":"Gone"}`), NotFound, 0},
		"409":                        {answer(409, nil, `{"message":"Git Repository is empty."}`), Conflict, 0},
		"422":                        {answer(422, nil, `{"message":"Validation Failed"}`), Invalid, 0},
		"400":                        {answer(400, nil, `{"message":"Problems parsing JSON"}`), Invalid, 0},
		"500":                        {answer(500, nil, ``), Transient, 0},
		"502 with a page":            {answer(502, nil, `<html>`), Transient, 0},
		"503 with Retry-After":       {answer(503, map[string]string{"Retry-After": "5"}, ``), Transient, 5 * time.Second},
		"202":                        {answer(202, nil, ``), Transient, 0},
		"deadline":                   {context.DeadlineExceeded, Transient, 0},
		"cancelled":                  {context.Canceled, Transient, 0},
		"cut":                        {&url.Error{Op: "Post", URL: "https://api.example", Err: io.ErrUnexpectedEOF}, Transient, 0},
		"closed":                     {io.EOF, Transient, 0},
		"refused":                    {&net.OpError{Op: "dial", Err: errors.New("refused")}, Transient, 0},
		"broken JSON":                {&json.SyntaxError{}, Transient, 0},
		"anything else":              {errors.New("?"), Transient, 0},
		"wrapped":                    {fmt.Errorf("try: %w", answer(404, nil, ``)), NotFound, 0},
		"classified before":          {&Error{Class: RateLimited, After: time.Hour}, RateLimited, time.Hour},
		"an error without an answer": {&gh.ErrorResponse{}, Transient, 0},
	} {
		t.Run(name, func(t *testing.T) {
			class, after := Classify(c.err, testNow)
			assert.Equal(t, c.class, class)
			assert.Equal(t, c.after, after)
		})
	}
}

func TestError_TellsTheQueueWhatToDo(t *testing.T) {
	for class, permanent := range map[Class]bool{
		RateLimited: false, Transient: false, Auth: false, Permission: true, NotFound: false, Conflict: false, Invalid: true,
	} {
		err := error(&Error{What: "x", Class: class, After: time.Second, cause: io.EOF})
		var queue interface {
			RetryAfter() time.Duration
			Permanent() bool
		}
		assert.ErrorAs(t, err, &queue)
		assert.Equal(t, time.Second, queue.RetryAfter())
		assert.Equal(t, permanent, queue.Permanent(), class)
		assert.Equal(t, class == NotFound, errors.Is(err, reconcile.ErrNotFound))
		assert.ErrorIs(t, err, io.EOF)
	}
}

func TestLost_IsAWriteThatMayHaveBeenDone(t *testing.T) {
	is := func(cause error) bool { return lost(wrap("x", cause, testNow)) }
	assert.True(t, is(io.EOF))
	assert.True(t, is(answer(502, nil, "")))
	assert.True(t, is(context.DeadlineExceeded))
	assert.False(t, is(&net.OpError{Op: "dial", Err: errors.New("refused")}), "never sent")
	assert.False(t, is(answer(422, nil, "")))
	assert.False(t, is(answer(429, nil, "")))
	assert.False(t, lost(errors.New("not classified")))
}

func FuzzClassifyStatus(f *testing.F) {
	f.Add(403, "60", "0", "1800000100", "rate limit")
	f.Add(429, "-1", "x", "99999999999999999999", "")
	f.Fuzz(func(t *testing.T, status int, after, remaining, reset, message string) {
		h := http.Header{"Retry-After": {after}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}}
		class, wait := classifyStatus(status, h, message, testNow)
		assert.NotEmpty(t, class)
		assert.GreaterOrEqual(t, wait, time.Duration(0))
		assert.LessOrEqual(t, wait, maxWait)
		if class == RateLimited {
			assert.GreaterOrEqual(t, wait, minWait)
		}
	})
}
