package hub

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed pages/*
var pageFiles embed.FS

var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{
	"short": func(sha string) string { return sha[:min(7, len(sha))] },
	"when":  func(t time.Time) string { return t.Format("2 Jan 2006 15:04:05") },
	"firstLine": func(s string) string {
		line, _, _ := strings.Cut(s, "\n")
		return line
	},
	"rest": func(s string) string {
		_, rest, _ := strings.Cut(s, "\n")
		return strings.TrimSpace(rest)
	},
	"inc":     func(n int) int { return n + 1 },
	"initial": func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) },
}).ParseFS(pageFiles, "pages/*.html"))

// pagePolicy lets a page load nothing but its own style sheet and run no script.
const pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is what every template gets.
type page struct {
	Title   string
	Repo    *Repo // nil on the index
	Refresh int   // seconds; 0 is never
	Tab     string
	Body    any
}

// servePage serves what people look at. Pages need no login: they are for loopback,
// and show private repositories only there.
func (h *Hub) servePage(w http.ResponseWriter, r *http.Request) {
	hd := w.Header()
	hd.Set("Content-Security-Policy", pagePolicy)
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/-/hub.css" {
		css, err := pageFiles.ReadFile("pages/hub.css")
		if err != nil {
			http.NotFound(w, r)
			return
		}
		hd.Set("Content-Type", "text/css; charset=utf-8")
		hd.Set("Cache-Control", "max-age=300")
		_, _ = w.Write(css)
		return
	}
	name, p := h.findPage(r.URL.Path)
	if p == nil {
		http.NotFound(w, r)
		return
	}
	var buf bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&buf, name, p); err != nil {
		h.log.Error("render a page", "path", r.URL.Path, "err", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	hd.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(buf.Bytes())
}

// findPage returns the template and its data, or nil.
func (h *Hub) findPage(path string) (string, *page) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(parts) < 2 {
		return "index.html", h.indexPage(parts[0])
	}
	r := h.names[strings.ToLower(parts[0]+"/"+parts[1])]
	if r == nil || r.private && h.opt.AllowRemote {
		return "", nil
	}
	pub := h.public(r)
	out := &page{Title: r.full(), Repo: &pub, Tab: "code"}
	if len(parts) == 2 {
		return "repo.html", h.treePage(out, r, r.defaultBranch, "")
	}
	rest := strings.Join(parts[3:], "/")
	switch parts[2] {
	case "pulls":
		out.Tab, out.Body = "pulls", h.pullList(r)
		return "pulls.html", out
	case "pull":
		n, err := strconv.Atoi(parts[min(3, len(parts)-1)])
		if err != nil || r.pulls[n] == nil {
			return "", nil
		}
		return "pull.html", h.pullPage(out, r.pulls[n])
	case "tree", "blob", "raw":
		ref, file, found := h.splitRef(r, rest)
		if !found {
			return "", nil
		}
		if parts[2] == "tree" {
			return "repo.html", h.treePage(out, r, ref, file)
		}
		return "blob.html", h.blobPage(out, r, ref, file)
	case "commits":
		return "commits.html", h.commitsPage(out, r, or(rest, r.defaultBranch))
	case "commit":
		return "commit.html", h.commitPage(out, r, rest)
	}
	return "", nil
}

type indexRow struct {
	Repo    Repo
	Private bool
	Pulls   []pullRow
}

type pullRow struct {
	Number       int
	Title, State string
	User         string
	Created      time.Time
	URL          string
}

func (h *Hub) indexPage(owner string) *page {
	var rows []indexRow
	for _, r := range sorted(h.repos) {
		if owner != "" && !strings.EqualFold(owner, r.owner.login) || r.private && h.opt.AllowRemote {
			continue
		}
		rows = append(rows, indexRow{h.public(r), r.private, h.pullList(r)})
	}
	if owner != "" && h.accounts[strings.ToLower(owner)] == nil {
		return nil
	}
	return &page{Title: or(owner, "Repositories"), Refresh: 10, Body: rows}
}

func (h *Hub) pullList(r *repo) []pullRow {
	var rows []pullRow
	for n := r.number; n > 0; n-- {
		p := r.pulls[n]
		rows = append(rows, pullRow{n, p.title, p.look(), p.user.login, p.created, h.pullHTML(p)})
	}
	return rows
}

// look is a pull request's state as the page shows it.
func (p *pull) look() string {
	switch {
	case p.merged != nil:
		return "merged"
	case p.closed != nil:
		return "closed"
	case p.draft:
		return "draft"
	}
	return "open"
}

// splitRef splits "main/dir/file" where the ref may have slashes itself.
func (h *Hub) splitRef(r *repo, s string) (ref, file string, found bool) {
	if s, err := url.PathUnescape(s); err == nil {
		parts := strings.Split(s, "/")
		for n := 1; n <= len(parts); n++ {
			ref := strings.Join(parts[:n], "/")
			if _, found := h.resolve(r, ref); found {
				return ref, strings.Join(parts[n:], "/"), true
			}
		}
	}
	return "", "", false
}

type crumb struct{ Name, URL string }

// crumbs are the links along a path.
func (h *Hub) crumbs(r *repo, ref, path string) []crumb {
	base := h.url + "/" + r.full() + "/tree/" + escapePath(ref)
	out := []crumb{{r.name, base}}
	if path == "" {
		return out
	}
	for part := range strings.SplitSeq(path, "/") {
		base += "/" + url.PathEscape(part)
		out = append(out, crumb{part, base})
	}
	return out
}

type treeEntry struct {
	Name, URL string
	Dir       bool
	Size      string
}

type treeView struct {
	Ref      string
	Crumbs   []crumb
	Entries  []treeEntry
	Tip      *commitView
	Readme   template.HTML
	Pulls    []pullRow
	Branches []crumb
	Empty    bool
}

func (h *Hub) treePage(out *page, r *repo, ref, path string) *page {
	v := treeView{Ref: ref, Crumbs: h.crumbs(r, ref, path), Pulls: h.pullList(r)}
	out.Body = &v
	sha, found := h.resolve(r, ref)
	if !found {
		v.Empty = true
		return out
	}
	raw, err := h.run(r.dir, nil, nil, "ls-tree", "-z", "-l", "--end-of-options", sha+":"+path)
	if err != nil {
		return nil
	}
	prefix := path
	if prefix != "" {
		prefix += "/"
	}
	readme := ""
	for line := range strings.SplitSeq(strings.TrimRight(string(raw), "\x00"), "\x00") {
		meta, name, ok := strings.Cut(line, "\t")
		f := strings.Fields(meta)
		if !ok || len(f) < 4 {
			continue
		}
		e := treeEntry{Name: name, Dir: f[1] == "tree", Size: f[3]}
		kind := "blob"
		if e.Dir {
			kind = "tree"
		}
		e.URL = h.url + "/" + r.full() + "/" + kind + "/" + escapePath(ref) + "/" + escapePath(prefix+name)
		if strings.EqualFold(name, "README.md") {
			readme = name
		}
		v.Entries = append(v.Entries, e)
	}
	slices.SortStableFunc(v.Entries, func(a, b treeEntry) int {
		if a.Dir == b.Dir {
			return strings.Compare(a.Name, b.Name)
		}
		if a.Dir {
			return -1
		}
		return 1
	})
	if readme != "" {
		if text, ok := h.blob(r, sha, prefix+readme); ok {
			v.Readme = renderMarkdown(text, false, "/"+r.full()+"/blob/"+escapePath(ref)+"/"+escapePath(prefix))
		}
	}
	if k, err := h.commits(r, false, "-1", sha); err == nil && len(k) == 1 {
		tip := h.commitView(r, k[0])
		v.Tip = &tip
	}
	if refs, err := h.refs(r); err == nil {
		for full := range refs {
			if b, ok := strings.CutPrefix(full, "refs/heads/"); ok {
				v.Branches = append(v.Branches, crumb{b, h.url + "/" + r.full() + "/tree/" + escapePath(b)})
			}
		}
		slices.SortFunc(v.Branches, func(a, b crumb) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// maxShown bounds what a page shows of a file.
const maxShown = 1 << 20

// blob reads a file of a commit; false if it isn't there or too large to show.
func (h *Hub) blob(r *repo, sha, path string) (string, bool) {
	size, err := h.git(r, "cat-file", "-s", sha+":"+path)
	if n, err2 := strconv.Atoi(size); err != nil || err2 != nil || n > maxShown {
		return "", false
	}
	out, err := h.run(r.dir, nil, nil, "cat-file", "blob", sha+":"+path)
	return strings.ToValidUTF8(string(out), "\uFFFD"), err == nil
}

type blobView struct {
	Ref      string
	Crumbs   []crumb
	Lines    []string
	Markdown template.HTML
	Binary   bool
}

func (h *Hub) blobPage(out *page, r *repo, ref, path string) *page {
	sha, _ := h.resolve(r, ref)
	if _, err := h.git(r, "cat-file", "-e", sha+":"+path); err != nil || path == "" {
		return nil
	}
	v := blobView{Ref: ref, Crumbs: h.crumbs(r, ref, path)}
	out.Title, out.Body = path+" · "+r.full(), &v
	text, ok := h.blob(r, sha, path)
	switch {
	case !ok || strings.Contains(text, "\x00"):
		v.Binary = true
	case strings.HasSuffix(strings.ToLower(path), ".md"):
		dir := path[:strings.LastIndex(path, "/")+1]
		v.Markdown = renderMarkdown(text, false, "/"+r.full()+"/blob/"+escapePath(ref)+"/"+escapePath(dir))
	default:
		v.Lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	return out
}

type commitView struct {
	SHA, URL, Message string
	Author            string
	When              time.Time
	Parents           []crumb
	Files             []*fileView
}

func (h *Hub) commitView(r *repo, k commit) commitView {
	v := commitView{SHA: k.sha, URL: h.url + "/" + r.full() + "/commit/" + k.sha, Message: k.message, Author: k.author.name, When: k.committer.when}
	for _, p := range k.parents {
		v.Parents = append(v.Parents, crumb{p, h.url + "/" + r.full() + "/commit/" + p})
	}
	if a := h.byEmail(k.author.email); a != nil {
		v.Author = a.login
	}
	return v
}

type commitsView struct {
	Ref     string
	Commits []commitView
}

func (h *Hub) commitsPage(out *page, r *repo, ref string) *page {
	sha, found := h.resolve(r, ref)
	if !found {
		return nil
	}
	list, err := h.commits(r, false, "--max-count=100", sha)
	if err != nil {
		return nil
	}
	v := commitsView{Ref: ref}
	for _, k := range list {
		v.Commits = append(v.Commits, h.commitView(r, k))
	}
	out.Tab, out.Title, out.Body = "commits", "Commits · "+r.full(), &v
	return out
}

func (h *Hub) commitPage(out *page, r *repo, ref string) *page {
	sha, found := h.resolve(r, ref)
	if !found {
		return nil
	}
	k, err := h.commits(r, false, "-1", sha)
	if err != nil || len(k) != 1 {
		return nil
	}
	base := emptyTree
	if len(k[0].parents) > 0 {
		base = k[0].parents[0]
	}
	v := h.commitView(r, k[0])
	v.Files = h.fileViews(r, base+".."+sha, sha, nil)
	out.Tab, out.Title, out.Body = "commits", k[0].sha[:7]+" · "+r.full(), &v
	return out
}
