package hub

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// maxPush bounds what a push sends.
const maxPush = 1 << 30

var gitPath = regexp.MustCompile(`^/([A-Za-z0-9-]+)/([A-Za-z0-9._-]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)$`)

// serveGit serves smart HTTP by git http-backend. A push runs under the
// repository's gitMu; what it changed is seen by comparing the refs before and
// after, so that it doesn't matter how many it moved or how.
func (h *Hub) serveGit(w http.ResponseWriter, r *http.Request, m []string) {
	service := m[3]
	if service == "info/refs" {
		service = r.URL.Query().Get("service")
	}
	if service != "git-upload-pack" && service != "git-receive-pack" {
		http.Error(w, "Please upgrade your git client.", http.StatusForbidden)
		return
	}
	f := h.faults.pick(faultGit, r.Method, r.URL.Path)
	if f != nil && h.strike(w, r, f, func(int) {}) {
		return
	}
	rp, who, ok := h.authorizeGit(w, r, m[1]+"/"+m[2], service == "git-receive-pack")
	if !ok {
		return
	}
	body, size, err := h.spool(w, r)
	if err != nil {
		http.Error(w, "The request is too large.", http.StatusRequestEntityTooLarge)
		return
	}
	defer os.Remove(body.Name())
	defer body.Close()

	back := &cgi.Handler{Path: h.backend, Dir: rp.dir, Logger: log.New(io.Discard, "", 0), Stderr: io.Discard,
		Env: append(h.gitEnv(), "GIT_PROJECT_ROOT="+filepath.Join(h.dir, "repos"), "GIT_HTTP_EXPORT_ALL=1",
			"REMOTE_USER="+h.login(who))}
	in := r.Clone(r.Context())
	in.URL.Path = "/" + strconv.FormatInt(rp.id, 10) + ".git/" + m[3]
	in.URL.RawPath = ""
	in.Body, in.ContentLength, in.TransferEncoding = body, size, nil
	in.Header.Del("Authorization")

	if m[3] != "git-receive-pack" {
		back.ServeHTTP(w, in)
		return
	}
	rp.gitMu.Lock()
	defer rp.gitMu.Unlock()
	before, err := h.refs(rp)
	if err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	// The client is told only when the hub knows of the push, so that an API call
	// right after it sees its effect.
	held := &heldResponse{header: http.Header{}}
	back.ServeHTTP(held, in)
	after, err := h.refs(rp)
	if err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	h.mu.Lock()
	h.pushed(rp, h.accountOf(who), before, after)
	h.mu.Unlock()
	if f != nil && f.Kind == LostResponse {
		reset(w)
		return
	}
	held.send(w)
}

func (h *Hub) login(who actor) string {
	if a := h.accountOf(who); a != nil {
		return a.login
	}
	return ""
}

// authorizeGit answers for itself and returns false if the access isn't allowed.
func (h *Hub) authorizeGit(w http.ResponseWriter, r *http.Request, name string, push bool) (*repo, actor, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	refuse := func(status int, message string) (*repo, actor, bool) {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		}
		http.Error(w, message, status)
		return nil, actor{}, false
	}
	who, bad := h.authenticate(r)
	if bad != nil || who.kind() == "app" {
		return refuse(http.StatusUnauthorized, "Invalid username or token.")
	}
	rp := h.names[strings.ToLower(name)]
	if who.kind() == "anonymous" && (push || rp == nil || rp.private) {
		return refuse(http.StatusUnauthorized, "Repository not found.")
	}
	if rp == nil || !who.sees(rp) {
		return refuse(http.StatusNotFound, "Repository not found.")
	}
	need := "contents:read"
	if push {
		need = "contents:write"
	}
	if who.may(rp, need) != nil {
		return refuse(http.StatusForbidden, fmt.Sprintf("Permission to %s.git denied to %s.", rp.full(), h.login(who)))
	}
	return rp, who, true
}

// spool reads the request into a file first: CGI needs its length, and a slow
// client must not hold the repository.
func (h *Hub) spool(w http.ResponseWriter, r *http.Request) (*os.File, int64, error) {
	f, err := os.CreateTemp(filepath.Join(h.dir, "spool"), "push-")
	if err != nil {
		return nil, 0, err
	}
	n, err := io.Copy(f, http.MaxBytesReader(w, r.Body, maxPush))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, 0, err
	}
	return f, n, nil
}

// heldResponse keeps a small response back.
type heldResponse struct {
	header http.Header
	status int
	body   []byte
}

func (r *heldResponse) Header() http.Header { return r.header }
func (r *heldResponse) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}
func (r *heldResponse) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.body = append(r.body, b...)
	return len(b), nil
}

func (r *heldResponse) send(w http.ResponseWriter) {
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // the client may be gone
}
