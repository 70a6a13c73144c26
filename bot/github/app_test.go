package github

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
	gh "github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/test/hub"
)

var testKey = sync.OnceValue(func() PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
})

func TestNew_SaysWhatIsMissing(t *testing.T) {
	for name, c := range map[string]Config{
		"no id":                            {PrivateKey: testKey()},
		"the private key is no RSA key":    {ID: 1, PrivateKey: PrivateKey("s3cret")},
		"want https://host or http://host": {ID: 1, PrivateKey: testKey(), BaseURL: "https://u:p@host"},
		"github base url":                  {ID: 1, PrivateKey: testKey(), BaseURL: "ftp://host"},
	} {
		_, err := New(c)
		require.ErrorContains(t, err, name)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

func TestAddresses(t *testing.T) {
	for base, want := range map[string][2]string{
		"":                                  {"https://api.github.com/", "github.com"},
		"https://github.com":                {"https://api.github.com/", "github.com"},
		"https://api.github.com/":           {"https://api.github.com/", "github.com"},
		"https://ghe.example":               {"https://ghe.example/api/v3/", "ghe.example"},
		"https://GHE.example/api/v3/":       {"https://ghe.example/api/v3/", "ghe.example"},
		"http://127.0.0.1:8080":             {"http://127.0.0.1:8080/api/v3/", "127.0.0.1:8080"},
		"https://acme.ghe.com":              {"https://api.acme.ghe.com/", "acme.ghe.com"},
		"https://api.acme.ghe.com":          {"https://api.acme.ghe.com/", "acme.ghe.com"},
		"https://ghe.example/behind/a/path": {"https://ghe.example/behind/a/path/api/v3/", "ghe.example"},
	} {
		api, host, err := addresses(base)
		require.NoError(t, err, base)
		assert.Equal(t, want, [2]string{api.String(), host}, base)
	}
}

func TestGitAuth_LetsGitInToAPrivateRepository(t *testing.T) {
	w := newWorld(t)
	_, err := w.hub.CreateRepo("acme/secret", hub.RepoOptions{Private: true, Files: map[string]string{"b.yaml": "b: 1\n"}})
	require.NoError(t, err)
	require.NoError(t, w.hub.AddToInstallation(w.install, "acme/secret"))
	a := w.newApp(Config{})
	repos, err := a.Repositories(t.Context(), w.install)
	require.NoError(t, err)
	require.Len(t, repos, 2)
	auth, err := a.GitAuth(t.Context(), repos[1])
	require.NoError(t, err)
	remote := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "origin", URLs: []string{repos[1].CloneURL}})
	_, err = remote.ListContext(t.Context(), &git.ListOptions{})
	require.Error(t, err, "the repository is private")
	refs, err := remote.ListContext(t.Context(), &git.ListOptions{Auth: auth})
	require.NoError(t, err)
	assert.NotEmpty(t, refs)
}

func TestGitAuth_GivesNoTokenForAnotherHost(t *testing.T) {
	w := newWorld(t)
	w.hub.ResetRequests()
	for _, address := range []string{"https://evil.example/acme/shop.git", "", "file:///etc", "https://%zz", "ssh://git@evil.example/x"} {
		repo := w.repo
		repo.CloneURL = address
		_, err := w.app.GitAuth(t.Context(), repo)
		require.ErrorContains(t, err, "clone url", address)
	}
	assert.Empty(t, w.hub.Requests())
}

func TestToken_IsMintedOnceForManyCallsAtATime(t *testing.T) {
	w := newWorld(t)
	a := w.newApp(Config{})
	w.hub.ResetRequests()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := a.PullRequest(t.Context(), w.repo, 1)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	mints := 0
	for _, r := range w.hub.Requests() {
		if r.IsTokenMint() {
			mints++
		}
	}
	assert.Equal(t, 1, mints)
}

func TestToken_ThatIsRefusedIsReplacedOnce(t *testing.T) {
	w := newWorld(t)
	refuse := 1
	var mu sync.Mutex
	a := w.newApp(Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(r.URL.Path, "/pulls/") && refuse > 0 {
			refuse--
			r.Header.Set("Authorization", "token revoked")
		}
		return http.DefaultTransport.RoundTrip(r)
	})})
	_, err := a.PullRequest(t.Context(), w.repo, 1)
	require.NoError(t, err)

	refuse = 2
	_, err = a.PullRequest(t.Context(), w.repo, 1)
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, Auth, e.Class)
}

func TestInstallation_ThatIsSuspendedOrRemovedIsNotFound(t *testing.T) {
	w := newWorld(t)
	ids, err := w.app.Installations(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int64{w.install}, ids)

	require.NoError(t, w.hub.Suspend(w.install, true))
	_, err = w.newApp(Config{}).Repositories(t.Context(), w.install)
	require.ErrorIs(t, err, reconcile.ErrNotFound)
	ids, err = w.app.Installations(t.Context())
	require.NoError(t, err)
	assert.Empty(t, ids)

	require.NoError(t, w.hub.Uninstall(w.install))
	_, err = w.newApp(Config{}).Repositories(t.Context(), w.install)
	require.ErrorIs(t, err, reconcile.ErrNotFound)
	_, err = w.app.Repositories(t.Context(), 0)
	require.ErrorIs(t, err, reconcile.ErrNotFound)
}

func TestClient_SendsNoTokenToAnotherHost(t *testing.T) {
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("asked with %q", r.Header.Get("Authorization"))
	}))
	defer evil.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/access_tokens") {
			fmt.Fprint(w, `{"token":"ghs_s3cret","expires_at":"2999-01-01T00:00:00Z"}`)
			return
		}
		http.Redirect(w, r, evil.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer api.Close()
	a, err := New(Config{ID: 1, PrivateKey: testKey(), BaseURL: api.URL})
	require.NoError(t, err)
	_, err = a.PullRequest(t.Context(), reconcile.Repo{Installation: 5, Owner: "o", Name: "r"}, 1)
	require.ErrorContains(t, err, "refusing to send a token")
}

func TestClient_BoundsWhatItReads(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/access_tokens") {
			fmt.Fprint(w, `{"token":"t","expires_at":"2999-01-01T00:00:00Z"}`)
			return
		}
		fmt.Fprint(w, `{"title":"`)
		chunk := bytes.Repeat([]byte("x"), 1<<20)
		for range 40 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		fmt.Fprint(w, `"}`)
	}))
	defer api.Close()
	a, err := New(Config{ID: 1, PrivateKey: testKey(), BaseURL: api.URL})
	require.NoError(t, err)
	_, err = a.PullRequest(t.Context(), reconcile.Repo{Installation: 5, Owner: "o", Name: "r"}, 1)
	var tooLarge *http.MaxBytesError
	require.ErrorAs(t, err, &tooLarge)
}

func TestErrors_HoldNoToken(t *testing.T) {
	const secret = "ghs_s3cret"
	for _, status := range []int{401, 403, 404, 422, 500} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/access_tokens") {
				fmt.Fprintf(w, `{"token":%q,"expires_at":"2999-01-01T00:00:00Z"}`, secret)
				return
			}
			assert.Contains(t, r.Header.Get("Authorization"), secret)
			w.WriteHeader(status)
			fmt.Fprint(w, `{"message":"no"}`)
		}))
		a, err := New(Config{ID: 1, PrivateKey: testKey(), BaseURL: api.URL})
		require.NoError(t, err)
		_, err = a.PullRequest(t.Context(), reconcile.Repo{Installation: 5, Owner: "o", Name: "r"}, 1)
		require.Error(t, err)
		api.Close()
		var answer *gh.ErrorResponse
		require.ErrorAs(t, err, &answer)
		assert.Empty(t, answer.Response.Request.Header.Get("Authorization"))

		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Error("failed", "err", err, "app", fmt.Sprintf("%+v", a.config))
		dump := log.String()
		for ; err != nil; err = unwrap(err) {
			dump += fmt.Sprintf("%v %+v %#v", err, err, err)
			if r, ok := err.(interface{ Error() string }); ok {
				dump += r.Error()
			}
		}
		assert.NotContains(t, dump, secret)
		assert.NotContains(t, dump, "PRIVATE KEY")
		assert.NotContains(t, dump, "Bearer ey")
	}
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

func TestSecrets_AreNeverPrinted(t *testing.T) {
	for _, v := range []any{Token("s3cret"), PrivateKey("s3cret"), Config{PrivateKey: PrivateKey("s3cret")}, map[string]any{"t": Token("s3cret")},
		&githttp.BasicAuth{Username: "x-access-token", Password: "s3cret"}} {
		if _, auth := v.(*githttp.BasicAuth); !auth { // go-git's own type hides only in String
			j, err := json.Marshal(struct{ V any }{V: redactable(v)})
			require.NoError(t, err)
			assert.NotContains(t, string(j), "s3cret")
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v %q %x", v, v, v, v, v), "s3cret")
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		assert.NotContains(t, log.String(), "s3cret")
	}
	assert.Equal(t, "s3cret", Token("s3cret").Reveal())
}

// redactable drops the function and interface fields that JSON can't have.
func redactable(v any) any {
	if c, ok := v.(Config); ok {
		return c.PrivateKey
	}
	return v
}
