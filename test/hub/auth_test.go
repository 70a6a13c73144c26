package hub_test

import (
	"context"
	"crypto/rsa"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/contract"
	"github.com/conductor-dev/conductor/test/hub"
)

// ask sends a bare request and returns its status, body and headers.
func (w *world) ask(method, path, auth, body string) (int, string, http.Header) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, w.h.APIURL()+path, strings.NewReader(body))
	require.NoError(w.t, err)
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return resp.StatusCode, string(raw), resp.Header
}

func (w *world) key() *rsa.PrivateKey {
	key, err := jwt.ParseRSAPrivateKeyFromPEM(w.app.PrivateKeyPEM)
	require.NoError(w.t, err)
	return key
}

func TestAuth_AppJWTMustBeSignedFreshAndShort(t *testing.T) {
	w := newWorld(t, hub.Options{})
	now := time.Now()
	good := func() jwt.MapClaims {
		return jwt.MapClaims{"iss": w.app.ID, "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix()}
	}
	for name, c := range map[string]struct {
		change func(jwt.MapClaims)
		status int
	}{
		"valid":             {func(jwt.MapClaims) {}, 200},
		"issuer as text":    {func(m jwt.MapClaims) { m["iss"] = str(w.app.ID) }, 200},
		"expired":           {func(m jwt.MapClaims) { m["exp"] = now.Add(-time.Second).Unix() }, 401},
		"too long":          {func(m jwt.MapClaims) { m["exp"] = now.Add(time.Hour).Unix() }, 401},
		"without expiry":    {func(m jwt.MapClaims) { delete(m, "exp") }, 401},
		"issued later":      {func(m jwt.MapClaims) { m["iat"] = now.Add(5 * time.Minute).Unix() }, 401},
		"unknown app":       {func(m jwt.MapClaims) { m["iss"] = 1 }, 401},
		"issuer not number": {func(m jwt.MapClaims) { m["iss"] = "me" }, 401},
	} {
		t.Run(name, func(t *testing.T) {
			claims := good()
			c.change(claims)
			signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(w.key())
			require.NoError(t, err)
			status, body, _ := w.ask("GET", "/app", "Bearer "+signed, "")
			assert.Equal(t, c.status, status, body)
		})
	}
	forged, err := jwt.NewWithClaims(jwt.SigningMethodHS256, good()).SignedString([]byte("guess"))
	require.NoError(t, err)
	status, _, _ := w.ask("GET", "/app", "Bearer "+forged, "")
	assert.Equal(t, 401, status)
}

func TestAuth_InstallationTokenExpiresAfterAnHour(t *testing.T) {
	clock := newClock()
	w := newWorld(t, hub.Options{Now: clock.now})
	claims := jwt.MapClaims{"iss": w.app.ID, "iat": clock.now().Unix(), "exp": clock.now().Add(5 * time.Minute).Unix()}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(w.key())
	require.NoError(t, err)
	app, err := github.NewClient(nil).WithAuthToken(signed).WithEnterpriseURLs(w.h.URL(), w.h.URL())
	require.NoError(t, err)
	tok, _, err := app.Apps.CreateInstallationToken(ctx, w.install, nil)
	require.NoError(t, err)
	assert.Equal(t, clock.now().Add(time.Hour).Unix(), tok.GetExpiresAt().Unix())
	status, _, _ := w.ask("GET", "/repos/acme/shop", "token "+tok.GetToken(), "")
	assert.Equal(t, 200, status)
	clock.add(time.Hour)
	status, body, _ := w.ask("GET", "/repos/acme/shop", "token "+tok.GetToken(), "")
	assert.Equal(t, 401, status)
	assert.Contains(t, body, "Bad credentials")
}

func TestAuth_PermissionsAndRepositoriesAreEnforced(t *testing.T) {
	w := newWorld(t, hub.Options{Middleware: contract.ResponsesOnly(t)})
	_, err := w.h.CreateRepo("acme/secret", hub.RepoOptions{Private: true, Files: map[string]string{"a": "b"}})
	require.NoError(t, err)
	pr, g := w.pull("f", map[string]string{"b": "c"})
	_, resp, err := w.bot().Repositories.Get(ctx, "acme", "secret")
	require.Error(t, err)
	assert.Equal(t, 404, resp.StatusCode, "a repository that isn't covered is invisible")
	_, resp, err = w.bot().PullRequests.Merge(ctx, "acme", "shop", pr.GetNumber(), "", nil)
	require.Error(t, err)
	assert.Equal(t, 403, resp.StatusCode)
	assert.Contains(t, err.Error(), "Resource not accessible by integration")
	_, resp, err = w.user(w.alice).Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: pr.GetHead().GetSHA()})
	require.Error(t, err)
	assert.Equal(t, 403, resp.StatusCode, "only Apps make check runs")

	narrow, _, err := w.jwt().Apps.CreateInstallationToken(ctx, w.install, &github.InstallationTokenOptions{
		Repositories: []string{"shop"}, Permissions: &github.InstallationPermissions{Contents: github.String("read")}})
	require.NoError(t, err)
	status, _, _ := w.ask("GET", "/repos/acme/shop/commits", "Bearer "+narrow.GetToken(), "")
	assert.Equal(t, 200, status)
	status, _, _ = w.ask("GET", "/repos/acme/shop/pulls", "Bearer "+narrow.GetToken(), "")
	assert.Equal(t, 403, status)
	_, _, err = w.jwt().Apps.CreateInstallationToken(ctx, w.install, &github.InstallationTokenOptions{Permissions: &github.InstallationPermissions{Contents: github.String("write")}})
	require.Error(t, err, "more than was granted")
	_, _, err = w.jwt().Apps.CreateInstallationToken(ctx, w.install, &github.InstallationTokenOptions{Repositories: []string{"secret"}})
	require.Error(t, err)

	// Git has the same rules.
	url := strings.Replace(w.repo.CloneURL, "http://", "http://x-access-token:"+narrow.GetToken()+"@", 1)
	g.git("fetch", "--quiet", url, "main")
	out, err := g.try("push", url, "HEAD:refs/heads/new")
	require.Error(t, err)
	assert.Contains(t, out, "403")
	_, err = w.clone(w.alice, w.repo).try("push", "--quiet", strings.Replace(w.repo.CloneURL, "http://", "http://eve:"+w.eve.Token+"@", 1), "HEAD:refs/heads/x")
	require.Error(t, err)
	_, err = g.try("clone", w.h.URL()+"/acme/secret.git", t.TempDir())
	require.Error(t, err, "a private repository needs a login")

	require.NoError(t, w.h.Uninstall(w.install))
	status, _, _ = w.ask("GET", "/repos/acme/shop/commits", "Bearer "+narrow.GetToken(), "")
	assert.Equal(t, 401, status)
}

func TestAuth_PullRefsCannotBePushed(t *testing.T) {
	w := newWorld(t, hub.Options{})
	_, g := w.pull("f", map[string]string{"b": "c"})
	_, err := g.try("push", "origin", "HEAD:refs/pull/7/head")
	require.Error(t, err)
	assert.Contains(t, g.git("ls-remote", "origin", "refs/pull/1/head"), g.git("rev-parse", "HEAD"))
}

func TestREST_HeadersPagingAndETags(t *testing.T) {
	w := newWorld(t, hub.Options{RateLimit: 8, Middleware: contract.ResponsesOnly(t)})
	for range 3 {
		_, _, err := w.user(w.alice).Git.GetRef(ctx, "acme", "shop", "heads/main")
		require.NoError(t, err)
	}
	auth := "Bearer " + w.alice.Token
	status, _, hd := w.ask("GET", "/repos/acme/shop/branches?per_page=1", auth, "")
	require.Equal(t, 200, status)
	assert.Equal(t, "8", hd.Get("X-RateLimit-Limit"))
	assert.Equal(t, "4", hd.Get("X-RateLimit-Remaining"))
	assert.NotEmpty(t, hd.Get("X-GitHub-Request-Id"))
	assert.Equal(t, "contents=read", hd.Get("X-Accepted-GitHub-Permissions"))

	req, err := http.NewRequestWithContext(ctx, "GET", w.h.APIURL()+"/repos/acme/shop/branches?per_page=1", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", auth)
	req.Header.Set("If-None-Match", hd.Get("ETag"))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 304, resp.StatusCode)
	assert.Equal(t, "4", resp.Header.Get("X-RateLimit-Remaining"), "a 304 is free")

	g := w.clone(w.alice, w.repo)
	g.git("push", "--quiet", "origin", "HEAD:a", "HEAD:b")
	_, _, hd = w.ask("GET", "/repos/acme/shop/branches?per_page=1&page=2", auth, "")
	assert.Contains(t, hd.Get("Link"), `page=3`)
	assert.Contains(t, hd.Get("Link"), `rel="prev"`)
	for range 3 {
		w.ask("GET", "/repos/acme/shop", auth, "")
	}
	status, body, hd := w.ask("GET", "/repos/acme/shop", auth, "")
	assert.Equal(t, 403, status)
	assert.Contains(t, body, "API rate limit exceeded")
	assert.Equal(t, "0", hd.Get("X-RateLimit-Remaining"))
	status, body, _ = w.ask("POST", "/repos/acme/shop/pulls", "Bearer "+w.bob.Token, "{")
	assert.Equal(t, 400, status, body)
	status, body, _ = w.ask("GET", "/nothing", "Bearer "+w.bob.Token, "")
	assert.Equal(t, 404, status)
	assert.Contains(t, body, "documentation_url")
}
