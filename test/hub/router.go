package hub

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const apiPrefix = "/api/v3"

// maxBody bounds a REST request body.
const maxBody = 10 << 20

// route is one REST operation.
type route struct {
	method, template string
	// need is the permission of an installation token, such as "checks:write";
	// "app" wants an App's JWT; "" nothing.
	need string
	// locksGit takes the repository's gitMu, for handlers that change refs.
	locksGit bool
	serve    func(h *Hub, c *call) *reply
	pattern  *regexp.Regexp
	names    []string
}

// Operations lists what the hub serves, as "GET /repos/{owner}/{repo}", and whether
// it is an operation of GitHub's REST API. The others stand in for GraphQL.
func Operations() map[string]bool {
	out := map[string]bool{}
	for _, rt := range table() {
		out[rt.method+" "+rt.template] = !strings.HasSuffix(rt.template, "/ready_for_review") && !strings.HasSuffix(rt.template, "/convert_to_draft")
	}
	return out
}

// table lists the operations; the first match wins.
func table() []route {
	const r = "/repos/{owner}/{repo}"
	t := []route{
		{method: "GET", template: "/app", need: "app", serve: (*Hub).getApp},
		{method: "GET", template: "/app/hook/config", need: "app", serve: (*Hub).getHookConfig},
		{method: "PATCH", template: "/app/hook/config", need: "app", serve: (*Hub).setHookConfig},
		{method: "GET", template: "/app/hook/deliveries", need: "app", serve: (*Hub).listDeliveries},
		{method: "GET", template: "/app/hook/deliveries/{delivery_id}", need: "app", serve: (*Hub).getDelivery},
		{method: "POST", template: "/app/hook/deliveries/{delivery_id}/attempts", need: "app", serve: (*Hub).redeliver},
		{method: "GET", template: "/app/installations", need: "app", serve: (*Hub).listInstallations},
		{method: "GET", template: "/app/installations/{installation_id}", need: "app", serve: (*Hub).getInstallation},
		{method: "POST", template: "/app/installations/{installation_id}/access_tokens", need: "app", serve: (*Hub).createToken},
		{method: "GET", template: r + "/installation", need: "app", serve: (*Hub).repoInstallation},
		{method: "GET", template: "/installation/repositories", serve: (*Hub).installationRepos},
		{method: "GET", template: "/rate_limit", serve: (*Hub).getRateLimit},
		{method: "GET", template: "/user", serve: (*Hub).getUser},
		{method: "GET", template: "/users/{username}", serve: (*Hub).getUserByName},
		{method: "GET", template: "/orgs/{org}", serve: (*Hub).getOrg},

		{method: "GET", template: r, need: "metadata:read", serve: (*Hub).getRepo},
		{method: "POST", template: r + "/forks", need: "contents:read", serve: (*Hub).createFork},
		{method: "GET", template: r + "/branches", need: "contents:read", serve: (*Hub).listBranches},
		{method: "GET", template: r + "/branches/{branch+}", need: "contents:read", serve: (*Hub).getBranch},
		{method: "GET", template: r + "/git/ref/{ref+}", need: "contents:read", serve: (*Hub).getRef},
		{method: "GET", template: r + "/git/matching-refs/{ref+}", need: "contents:read", serve: (*Hub).matchingRefs},
		{method: "POST", template: r + "/git/refs", need: "contents:write", locksGit: true, serve: (*Hub).createRef},
		{method: "PATCH", template: r + "/git/refs/{ref+}", need: "contents:write", locksGit: true, serve: (*Hub).updateRef},
		{method: "DELETE", template: r + "/git/refs/{ref+}", need: "contents:write", locksGit: true, serve: (*Hub).deleteRef},
		{method: "GET", template: r + "/commits", need: "contents:read", serve: (*Hub).listCommits},
		{method: "GET", template: r + "/commits/{commit_sha+}/pulls", need: "pull_requests:read", serve: (*Hub).pullsOfCommit},
		{method: "GET", template: r + "/commits/{ref+}/check-runs", need: "checks:read", serve: (*Hub).runsForRef},
		{method: "GET", template: r + "/commits/{ref+}/check-suites", need: "checks:read", serve: (*Hub).suitesForRef},
		{method: "GET", template: r + "/commits/{ref+}", need: "contents:read", serve: (*Hub).getCommit},
		{method: "GET", template: r + "/compare/{basehead+}", need: "contents:read", serve: (*Hub).compare},

		{method: "GET", template: r + "/pulls", need: "pull_requests:read", serve: (*Hub).listPulls},
		{method: "POST", template: r + "/pulls", need: "pull_requests:write", locksGit: true, serve: (*Hub).createPull},
		{method: "GET", template: r + "/pulls/{pull_number}", need: "pull_requests:read", serve: (*Hub).getPull},
		{method: "PATCH", template: r + "/pulls/{pull_number}", need: "pull_requests:write", locksGit: true, serve: (*Hub).updatePull},
		{method: "GET", template: r + "/pulls/{pull_number}/files", need: "pull_requests:read", serve: (*Hub).pullFiles},
		{method: "GET", template: r + "/pulls/{pull_number}/commits", need: "pull_requests:read", serve: (*Hub).pullCommits},
		{method: "GET", template: r + "/pulls/{pull_number}/merge", need: "contents:read", serve: (*Hub).isMerged},
		{method: "PUT", template: r + "/pulls/{pull_number}/merge", need: "contents:write", locksGit: true, serve: (*Hub).mergePull},
		{method: "POST", template: r + "/pulls/{pull_number}/ready_for_review", need: "pull_requests:write", serve: (*Hub).readyForReview},
		{method: "POST", template: r + "/pulls/{pull_number}/convert_to_draft", need: "pull_requests:write", serve: (*Hub).convertToDraft},
		{method: "GET", template: r + "/pulls/{pull_number}/reviews", need: "pull_requests:read", serve: (*Hub).listReviews},
		{method: "POST", template: r + "/pulls/{pull_number}/reviews", need: "pull_requests:write", serve: (*Hub).createReview},
		{method: "GET", template: r + "/pulls/{pull_number}/reviews/{review_id}", need: "pull_requests:read", serve: (*Hub).getReview},
		{method: "PUT", template: r + "/pulls/{pull_number}/reviews/{review_id}/dismissals", need: "pull_requests:write", serve: (*Hub).dismissReview},

		{method: "POST", template: r + "/check-runs", need: "checks:write", serve: (*Hub).createRun},
		{method: "GET", template: r + "/check-runs/{check_run_id}", need: "checks:read", serve: (*Hub).getRun},
		{method: "PATCH", template: r + "/check-runs/{check_run_id}", need: "checks:write", serve: (*Hub).updateRun},
		{method: "GET", template: r + "/check-runs/{check_run_id}/annotations", need: "checks:read", serve: (*Hub).listAnnotations},
		{method: "POST", template: r + "/check-runs/{check_run_id}/rerequest", need: "checks:write", serve: (*Hub).rerequestRun},
		{method: "POST", template: r + "/check-suites", need: "checks:write", serve: (*Hub).createSuite},
		{method: "GET", template: r + "/check-suites/{check_suite_id}", need: "checks:read", serve: (*Hub).getSuite},
		{method: "GET", template: r + "/check-suites/{check_suite_id}/check-runs", need: "checks:read", serve: (*Hub).runsForSuite},
		{method: "POST", template: r + "/check-suites/{check_suite_id}/rerequest", need: "checks:write", serve: (*Hub).rerequestSuite},

		{method: "GET", template: r + "/issues/{issue_number}/comments", need: "issues:read|pull_requests:read", serve: (*Hub).listComments},
		{method: "POST", template: r + "/issues/{issue_number}/comments", need: "issues:write|pull_requests:write", serve: (*Hub).createComment},
		{method: "GET", template: r + "/issues/comments/{comment_id}", need: "issues:read|pull_requests:read", serve: (*Hub).getComment},
		{method: "PATCH", template: r + "/issues/comments/{comment_id}", need: "issues:write|pull_requests:write", serve: (*Hub).editComment},
		{method: "DELETE", template: r + "/issues/comments/{comment_id}", need: "issues:write|pull_requests:write", serve: (*Hub).deleteComment},
	}
	for i := range t {
		t[i].compile()
	}
	return t
}

var param = regexp.MustCompile(`\\\{(\w+)(\\\+)?\\\}`)

// compile turns the template into a pattern; {name+} spans slashes, as GitHub's
// refs do.
func (rt *route) compile() {
	p := param.ReplaceAllStringFunc(regexp.QuoteMeta(rt.template), func(s string) string {
		m := param.FindStringSubmatch(s)
		rt.names = append(rt.names, m[1])
		if m[2] != "" {
			return "(.+)"
		}
		return "([^/]+)"
	})
	rt.pattern = regexp.MustCompile("^" + p + "$")
	rt.template = strings.ReplaceAll(rt.template, "+}", "}")
}

func (h *Hub) match(method, escaped string) (*route, map[string]string) {
	for i := range h.routes {
		rt := &h.routes[i]
		if rt.method != method {
			continue
		}
		m := rt.pattern.FindStringSubmatch(escaped)
		if m == nil {
			continue
		}
		params := map[string]string{}
		for j, name := range rt.names {
			v, err := url.PathUnescape(m[j+1])
			if err != nil {
				return nil, nil
			}
			params[name] = v
		}
		return rt, params
	}
	return nil, nil
}

type obj = map[string]any

// reply is what an operation answers.
type reply struct {
	status int
	body   any // nil: no content
	header http.Header
}

func ok(body any) *reply      { return &reply{status: 200, body: body} }
func created(body any) *reply { return &reply{status: 201, body: body} }

const docsURL = "https://docs.github.com/rest"

func fail(status int, message string) *reply {
	return &reply{status: status, body: obj{"message": message, "documentation_url": docsURL, "status": strconv.Itoa(status)}}
}

func notFound() *reply { return fail(404, "Not Found") }

// invalid is GitHub's 422 for a bad field; code is missing, missing_field, invalid,
// already_exists or custom (with a message).
func invalid(resource, field, code, message string) *reply {
	e := obj{"resource": resource, "field": field, "code": code}
	if message != "" {
		e["message"] = message
	}
	out := fail(422, "Validation Failed")
	out.body.(obj)["errors"] = []any{e}
	return out
}

// call is one REST request on its way.
type call struct {
	hub    *Hub
	r      *http.Request
	actor  actor
	repo   *repo // of routes under /repos/{owner}/{repo}
	params map[string]string
	body   []byte
}

func (c *call) id(name string) int64 {
	n, err := strconv.ParseInt(c.params[name], 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// decode reads the JSON body into v; an empty body leaves v as it is.
func (c *call) decode(v any) *reply {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	err := json.Unmarshal(c.body, v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return fail(422, fmt.Sprintf("Invalid request.\n\nFor '%s', %s is not of the right type.", wrong.Field, wrong.Value))
	}
	return fail(400, "Problems parsing JSON")
}

// page answers one page of a list, with the Link header.
func (c *call) page(all []any) *reply {
	per, n := c.paging()
	last := max(1, (len(all)+per-1)/per)
	lo := min((n-1)*per, len(all))
	hi := min(lo+per, len(all))
	out := ok(append([]any{}, all[lo:hi]...))
	var links []string
	add := func(p int, rel string) {
		u := *c.r.URL
		q := u.Query()
		q.Set("page", strconv.Itoa(p))
		u.RawQuery = q.Encode()
		links = append(links, fmt.Sprintf(`<%s%s>; rel="%s"`, c.hub.url, u.RequestURI(), rel))
	}
	if n > 1 {
		add(min(n-1, last), "prev")
	}
	if n < last {
		add(n+1, "next")
		add(last, "last")
	}
	if n > 1 {
		add(1, "first")
	}
	if len(links) > 0 {
		out.header = http.Header{"Link": {strings.Join(links, ", ")}}
	}
	return out
}

// paging reads per_page (30, at most 100) and page (from 1).
func (c *call) paging() (per, page int) {
	q := c.r.URL.Query()
	per, _ = strconv.Atoi(q.Get("per_page"))
	if per <= 0 {
		per = 30
	}
	per = min(per, 100)
	page, _ = strconv.Atoi(q.Get("page"))
	return per, min(max(page, 1), 1<<20)
}

// serveAPI takes a REST request from the socket to the answer.
func (h *Hub) serveAPI(w http.ResponseWriter, r *http.Request) {
	escaped := strings.TrimPrefix(r.URL.EscapedPath(), apiPrefix)
	rt, params := h.match(r.Method, escaped)
	rec := Request{Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, apiPrefix), Time: h.opt.Now()}
	if rt != nil {
		rec.Route = rt.template
	}
	sent := func(status int) {
		rec.Status = status
		h.requests.add(rec)
		h.log.Debug("rest", "method", r.Method, "path", rec.Path, "status", status, "actor", rec.Actor)
	}
	f := h.faults.pick(faultREST, r.Method, rec.Path)
	if f != nil {
		rec.Fault = f.Kind
		h.mu.Lock()
		who, _ := h.authenticate(r) // nobody, if it isn't valid
		h.mu.Unlock()
		rec.Actor = who.kind()
	}
	if f != nil && f.Kind != LostResponse && h.strike(w, r, f, sent) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		h.write(w, r, fail(413, "Payload too large"), actor{}, nil, sent)
		return
	}
	c := &call{hub: h, r: r, params: params, body: body}
	out := h.dispatch(c, rt)
	rec.Actor = c.actor.kind()
	if f != nil && f.Kind == LostResponse {
		sent(0)
		reset(w)
		return
	}
	h.write(w, r, out, c.actor, rt, sent)
}

// dispatch checks who asks, for what and whether they may, then serves it.
func (h *Hub) dispatch(c *call, rt *route) *reply {
	if rt != nil && rt.locksGit {
		h.mu.Lock()
		r := h.names[strings.ToLower(c.params["owner"]+"/"+c.params["repo"])]
		h.mu.Unlock()
		if r != nil {
			r.gitMu.Lock()
			defer r.gitMu.Unlock()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	who, bad := h.authenticate(c.r)
	if bad != nil {
		return bad
	}
	c.actor = who
	if limited := h.quota.check(who.quotaKey()); limited != nil {
		return limited
	}
	switch {
	case rt == nil:
		return notFound()
	case rt.need == "app" && who.kind() != "app":
		return fail(401, "A JSON web token could not be decoded")
	case rt.need != "app" && who.kind() == "app":
		return fail(401, "A JSON web token could not be decoded")
	}
	if c.params["repo"] != "" {
		c.repo = h.names[strings.ToLower(c.params["owner"]+"/"+c.params["repo"])]
		if c.repo == nil || rt.need != "app" && !who.sees(c.repo) {
			return notFound()
		}
		if rt.need != "app" {
			if bad := who.may(c.repo, rt.need); bad != nil {
				return bad
			}
		}
	}
	return rt.serve(h, c)
}

// sorted lists a map's values by id.
func sorted[V any](m map[int64]V) []V {
	out := make([]V, 0, len(m))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[id])
	}
	return out
}

// list makes JSON's [] of nothing.
func list(s []string) []string { return append([]string{}, s...) }

func byID[T any](id func(T) int64) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(id(a), id(b)) }
}
