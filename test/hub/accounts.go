package hub

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// User is a person with a personal access token.
type User struct {
	ID    int64
	Login string
	Email string // commits with it are attributed to the user
	Token string // for REST (Authorization: Bearer) and as Git's password
}

// AppOptions describes a GitHub App.
type AppOptions struct {
	Name, Slug    string            // Slug "" is made from Name
	Permissions   map[string]string // such as "checks": "write"
	Events        []string          // webhooks the App subscribes to
	WebhookURL    string            // "" sends nothing; see SetWebhook
	WebhookSecret string
}

// App is what the owner of a GitHub App gets to know when it is created.
type App struct {
	ID            int64
	Name, Slug    string
	BotLogin      string // "<slug>[bot]"
	BotID         int64
	PrivateKeyPEM []byte // RSA, PKCS #1, as GitHub's download
}

type account struct {
	id      int64
	login   string
	kind    string // User, Organization or Bot
	email   string
	created time.Time
	members map[string]bool // of an organisation, by lower-case login
}

type app struct {
	App
	opt     AppOptions
	owner   *account
	key     *rsa.PublicKey
	hookID  int64
	created time.Time
	hook    *hookQueue
}

type installation struct {
	id          int64
	app         *app
	account     *account
	all         bool // covers every repository of the account
	repos       map[int64]bool
	permissions map[string]string
	created     time.Time
	suspended   *time.Time
}

var loginForm = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})$`)

// CreateUser adds a person and their token.
func (h *Hub) CreateUser(login string) (User, error) {
	if !loginForm.MatchString(login) {
		return User{}, fmt.Errorf("create user %q: a login has letters, digits and hyphens only", login)
	}
	secret, err := h.random(20)
	if err != nil {
		return User{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.accounts[strings.ToLower(login)] != nil {
		return User{}, fmt.Errorf("create user %q: the login is taken", login)
	}
	a := h.addAccount(login, "User")
	t := &token{secret: "ghp_" + secret[:36], user: a}
	h.tokens[t.secret] = t
	return User{ID: a.id, Login: login, Email: a.email, Token: t.secret}, nil
}

// CreateOrg adds an organisation. Its members may write to all of its repositories.
func (h *Hub) CreateOrg(login string, members ...string) error {
	if !loginForm.MatchString(login) {
		return fmt.Errorf("create organisation %q: a login has letters, digits and hyphens only", login)
	}
	h.mu.Lock()
	if h.accounts[strings.ToLower(login)] != nil {
		h.mu.Unlock()
		return fmt.Errorf("create organisation %q: the login is taken", login)
	}
	h.addAccount(login, "Organization")
	h.mu.Unlock()
	for _, m := range members {
		if err := h.AddMember(login, m); err != nil {
			return err
		}
	}
	return nil
}

// AddMember makes a user a member of an organisation.
func (h *Hub) AddMember(org, user string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	o, u := h.accounts[strings.ToLower(org)], h.accounts[strings.ToLower(user)]
	if o == nil || u == nil || o.kind != "Organization" {
		return fmt.Errorf("add %s to %s: no such user or organisation", user, org)
	}
	o.members[strings.ToLower(user)] = true
	return nil
}

// addAccount registers an account; Hub.mu is held or the hub isn't serving yet.
func (h *Hub) addAccount(login, kind string) *account {
	a := &account{id: h.nextID(), login: login, kind: kind, created: h.now(), members: map[string]bool{}}
	a.email = fmt.Sprintf("%d+%s@users.noreply.hub.example", a.id, login)
	if login == "web-flow" {
		a.email = "noreply@github.com"
	}
	h.accounts[strings.ToLower(login)] = a
	return a
}

var slugGap = regexp.MustCompile(`[^a-z0-9]+`)

// CreateApp registers a GitHub App with a new RSA key, its bot user and its hook.
func (h *Hub) CreateApp(opt AppOptions) (App, error) {
	if opt.Slug == "" {
		opt.Slug = strings.Trim(slugGap.ReplaceAllString(strings.ToLower(opt.Name), "-"), "-")
	}
	if opt.Name == "" {
		opt.Name = opt.Slug
	}
	if !loginForm.MatchString(opt.Slug) {
		return App{}, fmt.Errorf("create app %q: the name gives no slug", opt.Name)
	}
	if err := h.checkHookURL(opt.WebhookURL); err != nil {
		return App{}, fmt.Errorf("create app %s: %w", opt.Slug, err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return App{}, fmt.Errorf("make the key of app %s: %w", opt.Slug, err)
	}
	opt.Permissions = maps.Clone(opt.Permissions)
	if opt.Permissions == nil {
		opt.Permissions = map[string]string{}
	}
	opt.Permissions["metadata"] = "read"
	opt.Events = slices.Clone(opt.Events)
	h.mu.Lock()
	defer h.mu.Unlock()
	bot := opt.Slug + "[bot]"
	if h.accounts[bot] != nil {
		return App{}, fmt.Errorf("create app %s: the slug is taken", opt.Slug)
	}
	owner := h.accounts[opt.Slug+"-owner"]
	if owner == nil {
		owner = h.addAccount(opt.Slug+"-owner", "User")
	}
	a := &app{opt: opt, owner: owner, key: &key.PublicKey, created: h.now()}
	b := h.addAccount(bot, "Bot")
	a.App = App{ID: h.nextID(), Name: opt.Name, Slug: opt.Slug, BotLogin: bot, BotID: b.id,
		PrivateKeyPEM: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}
	a.hookID = h.nextID()
	a.hook = h.newHookQueue(a)
	h.apps[a.ID] = a
	h.emitPing(a)
	return a.App, nil
}

// SetWebhook changes where and with which secret an App's events are sent, and
// sends a ping. An empty address stops them.
func (h *Hub) SetWebhook(appID int64, address, secret string) error {
	if err := h.checkHookURL(address); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.apps[appID]
	if a == nil {
		return fmt.Errorf("set webhook of app %d: no such app", appID)
	}
	a.opt.WebhookURL, a.opt.WebhookSecret = address, secret
	h.emitPing(a)
	return nil
}

func (h *Hub) checkHookURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("webhook address %q: want http://host:port/path", s)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	if err := loopbackOnly(u.Hostname()+":"+port, h.opt.AllowRemote); err != nil {
		return fmt.Errorf("webhook address %q: %w", s, err)
	}
	return nil
}

// Install installs an App on an account, for the named repositories (owner/name) or,
// with none, for all that it has and will have. It returns the installation's id.
func (h *Hub) Install(appID int64, login string, repos ...string) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, acc := h.apps[appID], h.accounts[strings.ToLower(login)]
	if a == nil || acc == nil {
		return 0, fmt.Errorf("install app %d on %s: no such app or account", appID, login)
	}
	for _, i := range h.installs {
		if i.app == a && i.account == acc {
			return 0, fmt.Errorf("install %s on %s: it is installed; use AddToInstallation", a.Slug, login)
		}
	}
	in := &installation{app: a, account: acc, all: len(repos) == 0, repos: map[int64]bool{},
		permissions: maps.Clone(a.opt.Permissions), created: h.now()}
	for _, name := range repos {
		r := h.names[strings.ToLower(name)]
		if r == nil || r.owner != acc {
			return 0, fmt.Errorf("install %s: %s is no repository of %s", a.Slug, name, login)
		}
		in.repos[r.id] = true
	}
	in.id = h.nextID()
	h.installs[in.id] = in
	h.emitInstallation(in, "created")
	return in.id, nil
}

// AddToInstallation lets an installation cover more repositories of its account.
func (h *Hub) AddToInstallation(id int64, repos ...string) error {
	return h.changeInstallation(id, repos, true)
}

// RemoveFromInstallation takes repositories out of an installation.
func (h *Hub) RemoveFromInstallation(id int64, repos ...string) error {
	return h.changeInstallation(id, repos, false)
}

func (h *Hub) changeInstallation(id int64, names []string, add bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	in := h.installs[id]
	if in == nil {
		return fmt.Errorf("change installation %d: no such installation", id)
	}
	var changed []*repo
	for _, name := range names {
		r := h.names[strings.ToLower(name)]
		if r == nil || r.owner != in.account {
			return fmt.Errorf("change installation %d: %s is no repository of %s", id, name, in.account.login)
		}
		changed = append(changed, r)
	}
	in.all = false
	for _, r := range changed {
		if add {
			in.repos[r.id] = true
		} else {
			delete(in.repos, r.id)
		}
	}
	h.emitInstallationRepos(in, changed, add)
	return nil
}

// Uninstall removes an installation; its tokens stop working.
func (h *Hub) Uninstall(id int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	in := h.installs[id]
	if in == nil {
		return fmt.Errorf("uninstall %d: no such installation", id)
	}
	h.emitInstallation(in, "deleted")
	delete(h.installs, id)
	maps.DeleteFunc(h.tokens, func(_ string, t *token) bool { return t.install == in })
	return nil
}

// Suspend suspends an installation or ends its suspension.
func (h *Hub) Suspend(id int64, on bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	in := h.installs[id]
	if in == nil {
		return fmt.Errorf("suspend %d: no such installation", id)
	}
	in.suspended = nil
	if on {
		now := h.now()
		in.suspended = &now
		h.emitInstallation(in, "suspend")
	} else {
		h.emitInstallation(in, "unsuspend")
	}
	return nil
}

func (in *installation) covers(r *repo) bool {
	return r.owner == in.account && (in.all || in.repos[r.id])
}

// covered lists the repositories of an installation by id; Hub.mu is held.
func (h *Hub) covered(in *installation) []*repo {
	var out []*repo
	for _, r := range h.repos {
		if in.covers(r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *repo) int { return int(a.id - b.id) })
	return out
}

// byEmail finds who a commit is attributed to; nil if nobody. Hub.mu is held.
func (h *Hub) byEmail(email string) *account {
	for _, a := range h.accounts {
		if strings.EqualFold(a.email, email) {
			return a
		}
	}
	return nil
}

// mayWrite says whether an account may push to and merge in a repository.
func (a *account) mayWrite(r *repo) bool {
	return r.owner == a || r.owner.members[strings.ToLower(a.login)]
}
