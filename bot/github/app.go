package github

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/golang-jwt/jwt/v5"
	gh "github.com/google/go-github/v60/github"

	"github.com/conductor-dev/conductor/reconcile"
)

// DefaultTimeout bounds one REST call, the minting of its token included.
const DefaultTimeout = 30 * time.Second

// Config says which App this is. ID and PrivateKey are needed.
type Config struct {
	ID         int64
	PrivateKey PrivateKey // PEM, RSA
	// BaseURL is the web address of GitHub: "" for github.com, else that of a GitHub
	// Enterprise Server or of the emulator; its API is at <BaseURL>/api/v3/.
	BaseURL string
	// Slug is the App's name in URLs; its comments are by "<slug>[bot]". "" asks
	// GitHub once, when it is first needed.
	Slug      string
	UserAgent string            // "" is "conductor"
	Transport http.RoundTripper // nil is http.DefaultTransport
	Timeout   time.Duration     // 0 is DefaultTimeout
	Now       func() time.Time  // nil is time.Now; used for rate limits only
}

// App is a GitHub App. It is reconcile's Forge, Reporter, Installer and
// Credentials. Safe for concurrent use.
type App struct {
	config Config
	key    *rsa.PrivateKey
	api    *url.URL // ends with a slash
	git    string   // host that repositories are cloned from
	self   *client  // as the App, by JWT

	mu            sync.Mutex // guards the fields below
	installations map[int64]*client
	slug          string
}

var (
	_ reconcile.Forge       = (*App)(nil)
	_ reconcile.Reporter    = (*App)(nil)
	_ reconcile.Installer   = (*App)(nil)
	_ reconcile.Credentials = (*App)(nil)
)

// New checks the configuration; it sends nothing.
func New(c Config) (*App, error) {
	if c.ID <= 0 {
		return nil, errors.New("github app: no id; it is on the App's settings page")
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM(c.PrivateKey)
	if err != nil {
		// The cause may quote the key.
		return nil, errors.New("github app: the private key is no RSA key in PEM; download one from the App's settings page")
	}
	api, host, err := addresses(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if c.UserAgent == "" {
		c.UserAgent = "conductor"
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = limited{c.Transport}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &App{config: c, key: key, api: api, git: host, slug: c.Slug, installations: map[int64]*client{}}
	a.self = a.client(ghinstallation.NewAppsTransportFromPrivateKey(c.Transport, c.ID, key), nil)
	return a, nil
}

// addresses are the API's base and the host of repositories, for the web address
// of a GitHub. A *.ghe.com tenant has its API at api.<tenant>.ghe.com.
func addresses(base string) (api *url.URL, host string, err error) {
	if base == "" {
		base = "https://github.com"
	}
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", errors.New("github base url: want https://host or http://host, without credentials or query")
	}
	host = strings.ToLower(u.Host)
	path := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/api/v3"), "/")
	switch {
	case host == "api.github.com", host == "github.com", host == "www.github.com":
		return &url.URL{Scheme: "https", Host: "api.github.com", Path: "/"}, "github.com", nil
	case strings.HasSuffix(host, ".ghe.com"):
		host = strings.TrimPrefix(host, "api.")
		return &url.URL{Scheme: u.Scheme, Host: "api." + host, Path: "/"}, host, nil
	}
	return &url.URL{Scheme: u.Scheme, Host: host, Path: path + "/api/v3/"}, host, nil
}

// installation is the client of an installation, made once.
func (a *App) installation(id int64) (*client, error) {
	if id <= 0 {
		return nil, fmt.Errorf("github installation %d: %w", id, reconcile.ErrNotFound)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.installations[id]; ok {
		return c, nil
	}
	tokens := &tokens{app: a, installation: id, host: a.api.Host}
	c := a.client(tokens, tokens)
	a.installations[id] = c
	return c, nil
}

// Token is an access token of an installation, valid for at least a minute.
func (a *App) Token(ctx context.Context, installation int64) (Token, error) {
	c, err := a.installation(installation)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, a.config.Timeout)
	defer cancel()
	t, err := c.tokens.token(ctx)
	if err != nil {
		return "", wrap(fmt.Sprintf("get a token for installation %d", installation), err, a.config.Now())
	}
	return Token(t), nil
}

// GitAuth lets git in to a repository over HTTPS. It refuses a clone URL on any
// host but GitHub's own, so that no token leaves for another.
func (a *App) GitAuth(ctx context.Context, repo reconcile.Repo) (transport.AuthMethod, error) {
	u, err := url.Parse(repo.CloneURL)
	if err != nil || !strings.EqualFold(u.Host, a.git) || (u.Scheme != a.api.Scheme && u.Scheme != "https") {
		return nil, fmt.Errorf("credentials for %s: its clone url isn't on %s", repo.FullName(), a.git)
	}
	t, err := a.Token(ctx, repo.Installation)
	if err != nil {
		return nil, err
	}
	return &githttp.BasicAuth{Username: "x-access-token", Password: t.Reveal()}, nil
}

// author is the login of the App's own comments.
func (a *App) author(ctx context.Context) (string, error) {
	a.mu.Lock()
	slug := a.slug
	a.mu.Unlock()
	if slug == "" {
		app, err := call(ctx, a.self, "read the app", func() (*gh.App, *gh.Response, error) {
			return a.self.rest.Apps.Get(ctx, "")
		})
		if err != nil {
			return "", err
		}
		slug = app.GetSlug()
		a.mu.Lock()
		a.slug = slug
		a.mu.Unlock()
	}
	return slug + "[bot]", nil
}
