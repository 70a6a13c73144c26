package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The paths of the audit repository. Nothing foreign becomes a path element
// except a commit hash, a repository id and a tenant, each after validation.
const (
	branchRef      = "refs/heads/main"
	readmePath     = "README.md"
	checkpointPath = "checkpoint"
	uriPrefix      = "ledger://change-log/"
	// dayPageRows bounds a tenant's day page, so that appending to it costs the
	// same on a busy day and a month's folder stays under 1,000 files.
	dayPageRows = 250
	// readmeRows is how many of the newest entries README.md lists.
	readmeRows = 20
)

var (
	shaPattern    = regexp.MustCompile(`^[0-9a-f]{40}$`)
	repoIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	tenantPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
)

// ErrNotAnEntry is returned for a string that names no entry.
var ErrNotAnEntry = errors.New("not an entry: write CL-552, 552 or ledger://change-log/CL-552")

// EntryName returns "CL-552" for 552.
func EntryName(n int64) string { return "CL-" + strconv.FormatInt(n, 10) }

// EntryURI returns "ledger://change-log/CL-552" for 552.
func EntryURI(n int64) string { return uriPrefix + EntryName(n) }

// ParseName returns the number of an entry written as
// "ledger://change-log/CL-552", "CL-552" or "552". Leading zeros, signs and
// anything else are refused with ErrNotAnEntry.
func ParseName(s string) (int64, error) {
	digits := strings.TrimPrefix(strings.TrimPrefix(s, uriPrefix), "CL-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != digits {
		return 0, fmt.Errorf("%q: %w", clip(s, 80), ErrNotAnEntry)
	}
	return n, nil
}

// EntryPath returns the path of an entry's page, "change-log/00/05/CL-552.md".
// A folder holds at most 100 entries.
func EntryPath(n int64) string { return entryBase(n) + ".md" }

func entryBase(n int64) string { return path.Join(entryDir(n), EntryName(n)) }

func entryDir(n int64) string {
	return fmt.Sprintf("change-log/%02d/%02d", n/10_000, n/100%100)
}

// commitIndexPath is where an entry of a watched commit is found. sha is 40 hex.
func commitIndexPath(sha string) string {
	return path.Join("index/by-commit", sha[:2], sha[2:4], sha)
}

func cursorPath(repositoryID string) string { return "cursors/" + repositoryID + ".json" }

// tenantDir turns a tenant into one path element: itself when it is a plain
// name, else "_" and a digest, which no plain name can equal.
func tenantDir(tenant string) string {
	if tenantPattern.MatchString(tenant) {
		return tenant
	}
	sum := sha256.Sum256([]byte(tenant))
	return "_" + hex.EncodeToString(sum[:10])
}

// dayPagePath is the page of a tenant's day (UTC), counted from 1; the second
// page of a busy day is 23-2.md.
func dayPagePath(tenant string, day time.Time, page int) string {
	name := day.UTC().Format("02")
	if page > 1 {
		name += "-" + strconv.Itoa(page)
	}
	return path.Join("index/tenant", tenantDir(tenant), day.UTC().Format("2006/01"), name+".md")
}

func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "") + "…"
}
