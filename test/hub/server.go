package hub

import (
	"net/http"
	"strings"
)

// handler leads a request to Git, the REST API or the pages.
func (h *Hub) handler() http.Handler {
	var api http.Handler = http.HandlerFunc(h.serveAPI)
	if h.opt.Middleware != nil {
		api = h.opt.Middleware(api)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, apiPrefix+"/") {
			api.ServeHTTP(w, r)
			return
		}
		if m := gitPath.FindStringSubmatch(r.URL.Path); m != nil {
			h.serveGit(w, r, m)
			return
		}
		h.servePage(w, r)
	})
}
