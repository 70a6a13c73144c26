package reconcile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/ledger"
)

func TestKey_StringAndParseAgree(t *testing.T) {
	for _, k := range []Key{
		PullKey("42", 7), BranchKey("42", "main"), BranchKey("git-0123456789abcdef", "release/1.x"), InstallationKey(9),
	} {
		got, err := ParseKey(k.String())
		require.NoError(t, err)
		assert.Equal(t, k, got)
	}
	for _, s := range []string{"", "pull", "pull/42", "pull/42/x", "pull//7", "pull/42/0", "branch/42/", "installation/0", "other/1"} {
		_, err := ParseKey(s)
		assert.Error(t, err, s)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("pull/42/7")
	f.Add("branch/42/a/b")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		if err != nil {
			return
		}
		again, err := ParseKey(k.String())
		require.NoError(t, err)
		assert.Equal(t, k, again)
	})
}

func TestEffectiveReviews_CountsOnlyTheLatestWordOnTheFinalHead(t *testing.T) {
	author := ledger.Person{Login: "dana", ID: 1}
	at := func(minute int) time.Time { return time.Date(2026, 11, 1, 12, minute, 0, 0, time.UTC) }
	review := func(who int64, state, commit string, minute int) ledger.Review {
		return ledger.Review{Reviewer: ledger.Person{ID: who}, State: state, Commit: commit, SubmittedAt: at(minute)}
	}
	for name, test := range map[string]struct {
		reviews []ledger.Review
		want    []bool
	}{
		"approved":                 {[]ledger.Review{review(2, "APPROVED", "head", 1)}, []bool{true}},
		"on an older head":         {[]ledger.Review{review(2, "APPROVED", "old", 1)}, []bool{false}},
		"by the author":            {[]ledger.Review{review(1, "APPROVED", "head", 1)}, []bool{false}},
		"a deleted user":           {[]ledger.Review{review(0, "APPROVED", "head", 1)}, []bool{false}},
		"comments don't clear":     {[]ledger.Review{review(2, "APPROVED", "head", 1), review(2, "COMMENTED", "head", 2)}, []bool{true, false}},
		"changes requested later":  {[]ledger.Review{review(2, "APPROVED", "head", 1), review(2, "CHANGES_REQUESTED", "head", 2)}, []bool{false, false}},
		"approved after all":       {[]ledger.Review{review(2, "CHANGES_REQUESTED", "head", 1), review(2, "APPROVED", "head", 2)}, []bool{false, true}},
		"dismissed":                {[]ledger.Review{review(2, "DISMISSED", "head", 1)}, []bool{false}},
		"two people":               {[]ledger.Review{review(2, "APPROVED", "head", 1), review(3, "CHANGES_REQUESTED", "head", 2)}, []bool{true, false}},
		"approved twice counts":    {[]ledger.Review{review(2, "APPROVED", "old", 1), review(2, "APPROVED", "head", 2)}, []bool{false, true}},
		"whatever order they come": {[]ledger.Review{review(2, "CHANGES_REQUESTED", "head", 2), review(2, "APPROVED", "head", 1)}, []bool{false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []bool
			for _, r := range EffectiveReviews(test.reviews, author, "head") {
				got = append(got, r.ApprovedFinalHead)
			}
			assert.Equal(t, test.want, got)
		})
	}
}
