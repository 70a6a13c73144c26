package hub_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/hub"
)

// FuzzRequest sends foreign methods, paths and bodies: the answer is never a 5xx and
// the hub goes on.
func FuzzRequest(f *testing.F) {
	for _, s := range [][3]string{
		{"POST", "/api/v3/repos/acme/shop/check-runs", `{"name":"a","head_sha":"main","output":{"summary":1}}`},
		{"POST", "/api/v3/repos/acme/shop/pulls", `{"title":"x","head":"--help","base":"main"}`},
		{"GET", "/api/v3/repos/acme/shop/commits/--output=x", ``},
		{"GET", "/api/v3/repos/acme/shop/compare/main...HEAD~1", ``},
		{"GET", "/api/v3/repos/acme/shop/git/ref/heads/../x", ``},
		{"POST", "/api/v3/repos/acme/shop/git/refs", `{"ref":"refs/heads/x","sha":"main"}`},
		{"GET", "/acme/shop/blob/main/%2e%2e/x", ``},
		{"GET", "/acme/shop.git/info/refs?service=git-upload-pack", ``},
		{"POST", "/acme/shop.git/git-upload-pack", "0000"},
		{"POST", "/acme/shop.git/git-receive-pack", "zzzz"},
		{"PATCH", "/api/v3/repos/acme/shop/git/refs/heads/main", `[]`},
		{"GET", "/api/v3/repos/acme/shop/branches?page=-1&per_page=99999999999999999999", ``},
	} {
		f.Add(s[0], s[1], s[2])
	}
	h, err := hub.Start(hub.Options{RateLimit: 1 << 40})
	require.NoError(f, err)
	f.Cleanup(func() { _ = h.Close() })
	alice, err := h.CreateUser("alice")
	require.NoError(f, err)
	require.NoError(f, h.CreateOrg("acme", "alice"))
	_, err = h.CreateRepo("acme/shop", hub.RepoOptions{Files: map[string]string{"README.md": "# x\n"}})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.Parse(h.URL() + path)
		if err != nil || !strings.HasPrefix(path, "/") || u.Host != strings.TrimPrefix(h.URL(), "http://") {
			t.Skip()
		}
		req, err := http.NewRequest(method, u.String(), strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		req.SetBasicAuth("alice", alice.Token)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Skip() // not a request that Go sends
		}
		resp.Body.Close()
		if resp.StatusCode >= 500 {
			t.Fatalf("%s %s gives %d", method, path, resp.StatusCode)
		}
	})
}
