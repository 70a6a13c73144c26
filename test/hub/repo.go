package hub

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RepoOptions describes a new repository.
type RepoOptions struct {
	// Files are the first commit's contents by path; none leaves it empty.
	Files         map[string]string
	DefaultBranch string // "" is main
	Private       bool
	// DenyRewrites refuses forced pushes and deletions on every branch, as a
	// repository ruleset does.
	DenyRewrites bool
}

// Repo is a repository as its owner knows it.
type Repo struct {
	ID            int64
	Owner, Name   string
	FullName      string // owner/name
	DefaultBranch string
	CloneURL      string
	HTMLURL       string
	GitDir        string // the bare repository; for tests to look into
}

type repo struct {
	// gitMu is held while refs change: through a push or an API call. It is taken
	// before Hub.mu.
	gitMu sync.Mutex

	// Guarded by Hub.mu, but for id, dir and owner, which never change.
	id            int64
	owner         *account
	name          string
	dir           string
	private       bool
	defaultBranch string
	parent        *repo // a fork's
	created       time.Time
	pushed        time.Time
	number        int // of the last pull request
	pulls         map[int]*pull
	known         map[string]commit      // read before, by SHA
	groups        map[string]*mergeGroup // of the merge queue, by head
}

func (r *repo) full() string { return r.owner.login + "/" + r.name }

var repoName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// CreateRepo makes a repository, named owner/name, with one commit of the files.
func (h *Hub) CreateRepo(fullName string, opt RepoOptions) (Repo, error) {
	owner, name, _ := strings.Cut(fullName, "/")
	if opt.DefaultBranch == "" {
		opt.DefaultBranch = "main"
	}
	if !repoName.MatchString(name) || strings.Trim(name, ".") == "" || strings.HasSuffix(name, ".git") || !validRef(opt.DefaultBranch) {
		return Repo{}, fmt.Errorf("create repository %q: no valid name or default branch", fullName)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	acc := h.accounts[strings.ToLower(owner)]
	if acc == nil {
		return Repo{}, fmt.Errorf("create repository %s: no such owner; create the user or organisation first", fullName)
	}
	if h.names[strings.ToLower(fullName)] != nil {
		return Repo{}, fmt.Errorf("create repository %s: it exists", fullName)
	}
	r := h.newRepo(acc, name, opt)
	if err := h.initGit(r, opt); err != nil {
		return Repo{}, fmt.Errorf("create repository %s: %w", fullName, err)
	}
	if err := h.firstCommit(r, opt); err != nil {
		return Repo{}, fmt.Errorf("create repository %s: %w", fullName, err)
	}
	h.register(r)
	return h.public(r), nil
}

func (h *Hub) newRepo(owner *account, name string, opt RepoOptions) *repo {
	id := h.nextID()
	return &repo{id: id, owner: owner, name: name, private: opt.Private, defaultBranch: opt.DefaultBranch,
		dir: filepath.Join(h.dir, "repos", strconv.FormatInt(id, 10)+".git"), created: h.now(), pushed: h.now(),
		pulls: map[int]*pull{}}
}

// register makes a repository visible, and tells Apps that cover it by "all".
func (h *Hub) register(r *repo) {
	h.repos[r.id], h.names[strings.ToLower(r.full())] = r, r
	for _, in := range sorted(h.installs) {
		if in.all && in.covers(r) {
			h.emitInstallationRepos(in, []*repo{r}, true)
		}
	}
}

func (h *Hub) public(r *repo) Repo {
	return Repo{ID: r.id, Owner: r.owner.login, Name: r.name, FullName: r.full(), DefaultBranch: r.defaultBranch,
		CloneURL: h.url + "/" + r.full() + ".git", HTMLURL: h.url + "/" + r.full(), GitDir: r.dir}
}

// Repo looks a repository up by owner/name.
func (h *Hub) Repo(fullName string) (Repo, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.names[strings.ToLower(fullName)]
	if r == nil {
		return Repo{}, false
	}
	return h.public(r), true
}

func (h *Hub) initGit(r *repo, opt RepoOptions) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	if _, err := h.git(r, "init", "--quiet", "--bare", "--template=", "--initial-branch="+opt.DefaultBranch, "."); err != nil {
		return err
	}
	conf := "[uploadpack]\n\tallowFilter = true\n\tallowAnySHA1InWant = true\n[http]\n\treceivepack = true\n" +
		"[receive]\n\thideRefs = refs/pull\n\tfsckObjects = true\n\tautogc = false\n[core]\n\tlogAllRefUpdates = false\n"
	if opt.DenyRewrites {
		conf += "[receive]\n\tdenyNonFastForwards = true\n\tdenyDeletes = true\n"
	}
	f, err := os.OpenFile(filepath.Join(r.dir, "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(conf); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// firstCommit writes the initial files with a temporary index.
func (h *Hub) firstCommit(r *repo, opt RepoOptions) error {
	if len(opt.Files) == 0 {
		return nil
	}
	tree, err := h.writeTree(r, "", opt.Files)
	if err != nil {
		return err
	}
	who := person{r.owner.login, r.owner.email, h.now()}
	sha, err := h.commitTree(r, tree, "Initial commit\n", who, who)
	if err != nil {
		return err
	}
	return h.setRef(r, "refs/heads/"+opt.DefaultBranch, zeroSHA, sha)
}

// writeTree writes the tree of a base commit ("" is empty) with files put into it.
func (h *Hub) writeTree(r *repo, base string, files map[string]string) (string, error) {
	tmp, err := os.MkdirTemp(filepath.Join(h.dir, "spool"), "index-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(tmp, "index")}
	if base != "" {
		if _, err := h.run(r.dir, nil, env, "read-tree", base); err != nil {
			return "", err
		}
	}
	var stdin strings.Builder
	for _, path := range slices.Sorted(maps.Keys(files)) {
		blob, err := h.run(r.dir, strings.NewReader(files[path]), nil, "hash-object", "-w", "--stdin")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&stdin, "100644 %s\t%s\x00", strings.TrimSpace(string(blob)), path)
	}
	if _, err := h.run(r.dir, strings.NewReader(stdin.String()), env, "update-index", "-z", "--index-info"); err != nil {
		return "", err
	}
	tree, err := h.run(r.dir, nil, env, "write-tree")
	return strings.TrimSpace(string(tree)), err
}

// createFork answers POST forks: a copy under the user's account.
func (h *Hub) createFork(c *call) *reply {
	if c.actor.kind() != "user" {
		return fail(403, "Resource not accessible by integration")
	}
	u := c.actor.user
	if r := h.names[strings.ToLower(u.login+"/"+c.repo.name)]; r != nil {
		return &reply{status: 202, body: h.fullRepoJSON(r)}
	}
	r := h.newRepo(u, c.repo.name, RepoOptions{DefaultBranch: c.repo.defaultBranch, Private: c.repo.private})
	r.parent = c.repo
	if err := h.initGit(r, RepoOptions{DefaultBranch: r.defaultBranch}); err != nil {
		return fail(500, err.Error())
	}
	if _, err := h.git(r, "fetch", "--quiet", c.repo.dir, "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"); err != nil {
		return fail(500, err.Error())
	}
	h.register(r)
	return &reply{status: 202, body: h.fullRepoJSON(r)}
}
