package hub

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// token is a personal access token (user set) or an installation token.
type token struct {
	secret      string
	user        *account
	install     *installation
	permissions map[string]string
	repos       map[int64]bool // nil: all that the installation covers
	expires     time.Time      // zero: never
}

// actor is who a request comes from: nobody, a user, an App by its JWT, or an
// App's installation.
type actor struct {
	user  *account
	app   *app
	token *token // of an installation or user
}

func (a actor) kind() string {
	switch {
	case a.token != nil && a.token.install != nil:
		return "installation"
	case a.user != nil:
		return "user"
	case a.app != nil:
		return "app"
	}
	return "anonymous"
}

// account is who shows as the author of what the actor does.
func (h *Hub) accountOf(a actor) *account {
	if a.app != nil {
		return h.accounts[a.app.BotLogin]
	}
	return a.user
}

// quotaKey names whose rate limit a request counts on.
func (a actor) quotaKey() string {
	switch a.kind() {
	case "installation":
		return "installation:" + strconv.FormatInt(a.token.install.id, 10)
	case "user":
		return "user:" + a.user.login
	case "app":
		return "app:" + a.app.Slug
	}
	return "anonymous"
}

// authenticate reads the Authorization header; Hub.mu is held.
func (h *Hub) authenticate(r *http.Request) (actor, *reply) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	value = strings.TrimSpace(value)
	switch strings.ToLower(scheme) {
	case "":
		return actor{}, nil
	case "basic":
		raw, err := base64.StdEncoding.DecodeString(value)
		_, password, ok := strings.Cut(string(raw), ":")
		if err != nil || !ok {
			return actor{}, fail(401, "Bad credentials")
		}
		return h.byToken(password)
	case "bearer", "token":
		if strings.Count(value, ".") == 2 {
			return h.byJWT(value)
		}
		return h.byToken(value)
	}
	return actor{}, fail(401, "Bad credentials")
}

func (h *Hub) byToken(secret string) (actor, *reply) {
	t := h.tokens[secret]
	if t == nil || !t.expires.IsZero() && !h.opt.Now().Before(t.expires) {
		return actor{}, fail(401, "Bad credentials")
	}
	if t.install == nil {
		return actor{user: t.user, token: t}, nil
	}
	if t.install.suspended != nil {
		return actor{}, fail(403, "This installation has been suspended")
	}
	return actor{app: t.install.app, token: t}, nil
}

// GitHub accepts an App's JWT that ends at most ten minutes from now, and was issued
// at most a minute in the future by its clock.
const (
	maxJWTLife = 10 * time.Minute
	jwtSkew    = time.Minute
)

func (h *Hub) byJWT(value string) (actor, *reply) {
	var found *app
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation()).
		ParseWithClaims(value, claims, func(*jwt.Token) (any, error) {
			id, err := issuer(claims["iss"])
			if err != nil {
				return nil, err
			}
			if found = h.apps[id]; found == nil {
				return nil, errors.New("no such app")
			}
			return found.key, nil
		})
	if found == nil {
		if err != nil && errors.Is(err, errIssuer) {
			return actor{}, fail(401, "'Issuer' claim ('iss') must be an Integer")
		}
		return actor{}, fail(401, "A JSON web token could not be decoded")
	}
	if err != nil {
		return actor{}, fail(401, "A JSON web token could not be decoded")
	}
	exp, err1 := claims.GetExpirationTime()
	iat, err2 := claims.GetIssuedAt()
	now := h.opt.Now()
	switch {
	case err1 != nil || exp == nil:
		return actor{}, fail(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")
	case !exp.After(now):
		return actor{}, fail(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")
	case exp.After(now.Add(maxJWTLife + jwtSkew)):
		return actor{}, fail(401, "'Expiration time' claim ('exp') is too far in the future")
	case err2 != nil || iat == nil || iat.After(now.Add(jwtSkew)):
		return actor{}, fail(401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
	}
	return actor{app: found}, nil
}

var errIssuer = errors.New("issuer isn't a number")

func issuer(v any) (int64, error) {
	switch v := v.(type) {
	case float64:
		return int64(v), nil
	case string:
		if id, err := strconv.ParseInt(v, 10, 64); err == nil {
			return id, nil
		}
	}
	return 0, errIssuer
}

var levels = map[string]int{"": 0, "read": 1, "write": 2, "admin": 3}

// allows says whether an installation token has one of the permissions, written
// "checks:write" or "issues:write|pull_requests:write".
func (t *token) allows(need string) bool {
	for alt := range strings.SplitSeq(need, "|") {
		name, level, _ := strings.Cut(alt, ":")
		if levels[t.permissions[name]] >= levels[level] {
			return true
		}
	}
	return false
}

func (t *token) covers(r *repo) bool {
	return t.install.covers(r) && (t.repos == nil || t.repos[r.id])
}

// sees says whether the actor may know that the repository exists.
func (a actor) sees(r *repo) bool {
	switch a.kind() {
	case "installation":
		return !r.private || a.token.covers(r)
	case "user":
		return !r.private || a.user.mayWrite(r)
	}
	return !r.private
}

// may says what, if anything, forbids the actor a thing that needs a permission.
func (a actor) may(r *repo, need string) *reply {
	writes := strings.Contains(need, ":write")
	switch a.kind() {
	case "installation":
		if (a.token.covers(r) && a.token.allows(need)) || (!writes && !r.private && !a.token.covers(r)) {
			return nil
		}
		return fail(403, "Resource not accessible by integration")
	case "user":
		if !writes || a.user.mayWrite(r) || opensPulls(need) && !r.private {
			return nil
		}
		return fail(403, "Must have write access to the repository.")
	case "app":
		return fail(401, "A JSON web token could not be decoded")
	}
	if writes {
		return fail(401, "Requires authentication")
	}
	return nil
}

// opensPulls is true of what anybody with an account may do in a public repository.
func opensPulls(need string) bool {
	return strings.HasPrefix(need, "issues:") || strings.HasPrefix(need, "pull_requests:")
}

// createToken answers POST /app/installations/{installation_id}/access_tokens.
func (h *Hub) createToken(c *call) *reply {
	in := h.installs[c.id("installation_id")]
	if in == nil || in.app != c.actor.app {
		return notFound()
	}
	if in.suspended != nil {
		return fail(403, "This installation has been suspended")
	}
	var body struct {
		Repositories  []string          `json:"repositories"`
		RepositoryIDs []int64           `json:"repository_ids"`
		Permissions   map[string]string `json:"permissions"`
	}
	if bad := c.decode(&body); bad != nil {
		return bad
	}
	t := &token{install: in, permissions: maps.Clone(in.permissions), expires: h.now().Add(time.Hour)}
	if len(body.Repositories)+len(body.RepositoryIDs) > 0 {
		t.repos = map[int64]bool{}
	}
	for _, name := range body.Repositories {
		r := h.names[strings.ToLower(in.account.login+"/"+name)]
		if r == nil || !in.covers(r) {
			return fail(422, "There is at least one repository that does not exist or is not accessible to the parent installation.")
		}
		t.repos[r.id] = true
	}
	for _, id := range body.RepositoryIDs {
		r := h.repos[id]
		if r == nil || !in.covers(r) {
			return fail(422, "There is at least one repository that does not exist or is not accessible to the parent installation.")
		}
		t.repos[id] = true
	}
	if len(body.Permissions) > 0 {
		t.permissions = map[string]string{"metadata": "read"}
		for name, level := range body.Permissions {
			if levels[level] == 0 || levels[in.permissions[name]] < levels[level] {
				return fail(422, "The permissions requested are not granted to this installation.")
			}
			t.permissions[name] = level
		}
	}
	secret, err := h.random(20)
	if err != nil {
		return fail(500, err.Error())
	}
	t.secret = "ghs_" + secret[:36]
	h.tokens[t.secret] = t
	out := obj{"token": t.secret, "expires_at": stamp(t.expires), "permissions": t.permissions}
	out["repository_selection"] = "selected"
	if in.all && t.repos == nil {
		out["repository_selection"] = "all"
	}
	if t.repos != nil {
		list := []any{}
		for _, r := range h.covered(in) {
			if t.repos[r.id] {
				list = append(list, h.repoJSON(r))
			}
		}
		out["repositories"] = list
	}
	return created(out)
}

func (h *Hub) getApp(c *call) *reply { return ok(h.appJSON(c.actor.app)) }

func (h *Hub) listInstallations(c *call) *reply {
	var list []any
	for _, in := range sorted(h.installs) {
		if in.app == c.actor.app {
			list = append(list, h.installationJSON(in))
		}
	}
	return c.page(list)
}

func (h *Hub) getInstallation(c *call) *reply {
	in := h.installs[c.id("installation_id")]
	if in == nil || in.app != c.actor.app {
		return notFound()
	}
	return ok(h.installationJSON(in))
}

func (h *Hub) repoInstallation(c *call) *reply {
	for _, in := range sorted(h.installs) {
		if in.app == c.actor.app && in.covers(c.repo) {
			return ok(h.installationJSON(in))
		}
	}
	return notFound()
}

func (h *Hub) installationRepos(c *call) *reply {
	t := c.actor.token
	if t == nil || t.install == nil {
		return fail(403, "You must authenticate with an installation access token in order to list repositories for an installation.")
	}
	var list []any
	for _, r := range h.covered(t.install) {
		if t.covers(r) {
			list = append(list, h.repoJSON(r))
		}
	}
	n := len(list)
	out := c.page(list)
	sel := "selected"
	if t.install.all {
		sel = "all"
	}
	out.body = obj{"total_count": n, "repository_selection": sel, "repositories": out.body}
	return out
}

func (h *Hub) appJSON(a *app) obj {
	count := 0
	for _, in := range h.installs {
		if in.app == a {
			count++
		}
	}
	out := h.integrationJSON(a)
	out["installations_count"] = count
	return out
}

func (h *Hub) integrationJSON(a *app) obj {
	return obj{
		"id": a.ID, "slug": a.Slug, "node_id": nodeID("App", a.ID), "owner": h.userJSON(a.owner),
		"name": a.Name, "description": "", "external_url": h.url + "/apps/" + a.Slug,
		"html_url": h.url + "/apps/" + a.Slug, "created_at": stamp(a.created), "updated_at": stamp(a.created),
		"permissions": a.opt.Permissions, "events": list(a.opt.Events), "client_id": fmt.Sprintf("Iv1.%016x", a.ID),
	}
}

func (h *Hub) installationJSON(in *installation) obj {
	sel := "selected"
	if in.all {
		sel = "all"
	}
	base := h.APIURL() + "/app/installations/" + strconv.FormatInt(in.id, 10)
	out := obj{
		"id": in.id, "account": h.userJSON(in.account), "repository_selection": sel,
		"access_tokens_url": base + "/access_tokens", "repositories_url": h.APIURL() + "/installation/repositories",
		"html_url": h.url + "/settings/installations/" + strconv.FormatInt(in.id, 10),
		"app_id":   in.app.ID, "app_slug": in.app.Slug, "target_id": in.account.id, "target_type": in.account.kind,
		"permissions": in.permissions, "events": list(in.app.opt.Events),
		"created_at": stamp(in.created), "updated_at": stamp(in.created), "single_file_name": nil,
		"has_multiple_single_files": false, "single_file_paths": []any{}, "suspended_by": nil, "suspended_at": nil,
	}
	if in.suspended != nil {
		out["suspended_at"] = stamp(*in.suspended)
		out["suspended_by"] = h.userJSON(in.account)
	}
	return out
}
