package manifests

import (
	"slices"
	"strings"
)

// Below is the verdict on a part of the tree: findings and changes outside of a
// folder (or other than one file) are left out, and the tenants check is decided
// by what remains. Cost and the budget check stay those of the whole tree. "" is
// all of it.
func (v Verdict) Below(path string) Verdict {
	if path == "" {
		return v
	}
	inside := func(file string) bool { return file == path || strings.HasPrefix(file, path+"/") }
	all := v.Findings
	v.Findings = nil
	failed, files := 0, map[string]bool{}
	for _, f := range all {
		if !inside(f.File) {
			continue
		}
		v.Findings = append(v.Findings, f)
		if f.Severity == SeverityError && !f.Budget {
			failed++
			files[f.File] = true
		}
	}
	changes := v.Changes
	v.Changes = nil
	for _, c := range changes {
		if inside(c.File) {
			v.Changes = append(v.Changes, c)
		}
	}
	if failed == 0 && v.Tenants.Conclusion == Failure {
		v.Tenants = CheckResult{Success, "no problems below " + clean(path, 100)}
	} else if failed > 0 {
		v.Tenants.Title = plural(failed, "problem") + " in " + plural(len(files), "file")
	}
	return v
}

// HoldsSecret reports whether a file's content must stay in its repository: it
// declares a Kubernetes Secret, or it can't be read well enough to tell.
func (s *Snapshot) HoldsSecret(path string) bool {
	at, found := slices.BinarySearchFunc(s.files, path, func(f *File, p string) int { return strings.Compare(f.path, p) })
	if !found {
		return false
	}
	f := s.files[at]
	for _, r := range f.resources {
		if r.Kind == "Secret" {
			return true
		}
	}
	return f.opaque
}
