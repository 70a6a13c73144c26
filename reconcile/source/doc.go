// Package source reads what people committed: watched repositories through bare
// mirrors that are kept over git, and working trees on disk. It turns a commit or
// a folder into a manifests.Snapshot, and two commits into the list of changed
// paths and a patch.
//
// What always holds:
//
//   - Nothing from a repository is executed, checked out or used as a path on
//     this machine. Symbolic links are never followed; they, submodules named
//     like manifests, and oversized files become findings (manifests.Refuse).
//   - A file is parsed once for each (path, blob): parses are cached, and two
//     snapshots of one repository share the *manifests.File of unchanged files.
//   - A mirror can be deleted at any time; the next fetch builds it anew.
//
// Content comes over git rather than over the forge's API because git isn't
// metered, never truncates a diff and gives exact bytes for an exact commit.
package source
