package ledger

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
)

func TestKeys_SurviveSavingEncryptedAndNot(t *testing.T) {
	for name, password := range map[string][]byte{"encrypted": []byte("correct horse"), "plain": nil} {
		t.Run(name, func(t *testing.T) {
			keys := testKeys(t, "audit.example.com")
			dir := filepath.Join(t.TempDir(), "keys")
			require.NoError(t, keys.SaveKeys(dir, password))
			require.Error(t, keys.SaveKeys(dir, password), "never overwritten")
			back, err := LoadKeys(dir, password)
			require.NoError(t, err)
			assert.Equal(t, keys.Public(), back.Public())
			raw, err := os.ReadFile(filepath.Join(dir, entryKeyFile))
			require.NoError(t, err)
			assert.Equal(t, password != nil, bytes.Contains(raw, []byte("ENCRYPTED SIGSTORE PRIVATE KEY")))
			if password == nil {
				return
			}
			_, err = LoadKeys(dir, []byte("wrong"))
			require.ErrorIs(t, err, ErrPassword)
			_, err = LoadKeys(dir, nil)
			require.ErrorIs(t, err, ErrPassword)
		})
	}
}

func TestLoadKeys_RefusesFilesThatOthersCanRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, testKeys(t, "audit.example.com").SaveKeys(dir, nil))
	require.NoError(t, os.Chmod(filepath.Join(dir, logKeyFile), 0o640))
	_, err := LoadKeys(dir, nil)
	require.ErrorIs(t, err, ErrKeyPermissions)
	assert.Contains(t, err.Error(), "chmod 600")
	_, err = LoadKeys(t.TempDir(), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestKeys_NeverPrintThemselves(t *testing.T) {
	keys := testKeys(t, "audit.example.com")
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("keys", "keys", keys)
	fmt.Fprintf(&b, "%v %s", keys, keys)
	assert.Contains(t, b.String(), "REDACTED")
	assert.NotContains(t, b.String(), "PrivateKey")
}

func TestGenerateKeys_RefusesWhatIsNoHostName(t *testing.T) {
	for _, bad := range []string{"github.com/acme/audit", "Audit.example.com", "a b", "x+y", "https://x", "-", "a."} {
		_, err := GenerateKeys(bad, epoch, rand.New(rand.NewSource(1)))
		assert.Error(t, err, bad)
	}
	k, err := GenerateKeys("", epoch, rand.New(rand.NewSource(1)))
	require.NoError(t, err)
	assert.Equal(t, DefaultOrigin, k.Origin)
	assert.Equal(t, "conductor-2026-1", k.ID)
	assert.Equal(t, "conductor@audit.conductor.local", k.Public().Principal())
}

func TestCheckpoint_AcceptsWitnessSignaturesBesideTheLogs(t *testing.T) {
	keys := testKeys(t, "audit.example.com")
	skey, vkey, err := note.GenerateKey(rand.New(rand.NewSource(3)), "witness.example.com")
	require.NoError(t, err)
	witness, err := note.NewSigner(skey)
	require.NoError(t, err)
	log, err := newNoteSigner(keys)
	require.NoError(t, err)
	want := Checkpoint{Origin: "audit.example.com", Size: 7}
	b, err := note.Sign(&note.Note{Text: want.text()}, log, witness)
	require.NoError(t, err)
	got, err := openCheckpoint(b, keys.Public())
	require.NoError(t, err)
	assert.Equal(t, want, got)
	_, err = openCheckpointWith(b, vkey)
	require.NoError(t, err)
	alone, err := note.Sign(&note.Note{Text: want.text()}, witness)
	require.NoError(t, err)
	_, err = openCheckpoint(alone, keys.Public())
	require.Error(t, err)
}

func TestParseName_TakesThreeSpellingsAndNoOther(t *testing.T) {
	for _, s := range []string{"CL-552", "552", "ledger://change-log/CL-552"} {
		n, err := ParseName(s)
		require.NoError(t, err, s)
		assert.EqualValues(t, 552, n)
	}
	for _, s := range []string{"", "CL-", "CL-01", "-1", "+1", "CL-1.md", "ledger://change-log/552x", "cl-1", "99999999999999999999"} {
		_, err := ParseName(s)
		assert.ErrorIs(t, err, ErrNotAnEntry, s)
	}
}

func TestLayout_KeepsFoldersSmall(t *testing.T) {
	assert.Equal(t, "change-log/00/05/CL-552.md", EntryPath(552))
	perDir := map[string]int{}
	for n := range int64(250_000) {
		perDir[entryDir(n)]++
	}
	for d, n := range perDir {
		require.LessOrEqual(t, n, 100, d)
	}
	assert.Equal(t, "index/tenant/acme-1/2026/11/23-2.md", dayPagePath("acme-1", epoch, 2))
	assert.Regexp(t, `^_[0-9a-f]{20}$`, tenantDir("../x"))
	assert.NotEqual(t, tenantDir("A"), tenantDir("a"))
}

func TestDescribePatch_CountsFilesAndLines(t *testing.T) {
	d := describePatch([]byte("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n a\n-b\n+c\n++++ d\ndiff --git a/y b/y\nBinary files differ\n"))
	assert.Equal(t, Diff{SHA256: d.SHA256, Bytes: d.Bytes, Files: 2, Additions: 2, Deletions: 1, Stored: true}, d)
}
