package manifests

import (
	"slices"
	"strings"
)

// Snapshot is the manifests of one tree. It never changes and is safe for
// concurrent use; snapshots may share files.
type Snapshot struct {
	files  []*File // sorted by path, each path once
	policy *File   // nil without a policy file
	charts map[string]bool
}

// NewSnapshot collects files; of two with the same path the later one counts.
func NewSnapshot(files []*File) *Snapshot {
	s := &Snapshot{files: slices.Clone(files)}
	byPath := func(a, b *File) int { return strings.Compare(a.path, b.path) }
	if !slices.IsSortedFunc(s.files, byPath) {
		slices.SortStableFunc(s.files, byPath)
	}
	kept := s.files[:0]
	for i, f := range s.files {
		if i+1 < len(s.files) && s.files[i+1].path == f.path {
			continue
		}
		kept = append(kept, f)
		if dir, ok := chartDir(f.path); ok {
			if s.charts == nil {
				s.charts = map[string]bool{}
			}
			s.charts[dir] = true
		}
		if f.path == PolicyFile {
			s.policy = f
		}
	}
	s.files = kept
	return s
}

// Files lists the files, sorted by path. The slice is the caller's.
func (s *Snapshot) Files() []*File { return slices.Clone(s.files) }

// Len is the number of files.
func (s *Snapshot) Len() int { return len(s.files) }

// own lists the resources of conductor.dev and autoscalers, in file order.
func (s *Snapshot) own() []*resource {
	var out []*resource
	for _, f := range s.files {
		if !f.special {
			continue
		}
		for _, r := range f.resources {
			if r.own != nil || r.kind != nil && r.kind.autoscaler {
				out = append(out, r)
			}
		}
	}
	return out
}

func chartDir(path string) (string, bool) {
	if path == "Chart.yaml" {
		return "", true
	}
	return strings.CutSuffix(path, "/Chart.yaml")
}

// inChart reports whether a file is a template of a Helm chart in the snapshot.
func (s *Snapshot) inChart(path string) bool {
	if s.charts == nil {
		return false
	}
	if strings.HasPrefix(path, "templates/") && s.charts[""] {
		return true
	}
	for i := 0; ; {
		at := strings.Index(path[i:], "/templates/")
		if at < 0 {
			return false
		}
		if s.charts[path[:i+at]] {
			return true
		}
		i += at + 1
	}
}
