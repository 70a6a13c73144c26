package manifests

import (
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The cron library, asked for one fire time after the other, is the oracle.
func TestRunsPerMonth_EqualsTheFireTimesOfTheMonth(t *testing.T) {
	for _, schedule := range []string{"*/20 * * * *", "0 3 * * *", "30 1 * * *", "30 2 * * *", "*/15 9-17 * * 1-5", "30 2 1 * *", "0 0 13 * 5", "0 0 */2 * *", "5,35 * * * 0", "@daily", "@weekly", "@monthly", "0 2 31 * *", "0 12 * 2 *"} {
		for _, zone := range []string{"", "America/New_York", "Asia/Kolkata", "Europe/Paris"} {
			for _, month := range []time.Month{time.February, time.March, time.November} {
				at := time.Date(2026, month, 17, 5, 6, 7, 0, time.UTC)
				loc, err := location(zone)
				require.NoError(t, err)
				s, err := parseSchedule(schedule)
				require.NoError(t, err)
				start := time.Date(2026, month, 1, 0, 0, 0, 0, loc)
				end := start.AddDate(0, 1, 0)
				n := int64(0)
				for f := s.Next(start.Add(-time.Second)); !f.IsZero() && f.Before(end); f = s.Next(f) {
					n++
				}
				got, err := runsPerMonth(schedule, zone, at)
				require.NoError(t, err)
				want := decimal.New(n, 0).Mul(hoursPerMonth).DivRound(decimal.NewFromFloat(end.Sub(start).Hours()), 12)
				assert.True(t, want.Equal(got), "%s in %q: %s, want %s", schedule, zone, got, want)
			}
		}
	}
	every, err := runsPerMonth("@every 90m", "", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	assert.Equal(t, "486.666666666667", every.String())
}

func TestRunsPerMonth_IsCheapForEverySchedule(t *testing.T) {
	for range 1000 {
		_, err := runsPerMonth("* * * * *", "Europe/Paris", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		require.NoError(t, err)
	}
}

func TestParseQuantity_BoundsDigitsAndExponents(t *testing.T) {
	for s, want := range map[string]string{"500m": "0.5", "1": "1", "0.5": "0.5", "1Gi": "1073741824", "1G": "1000000000", "1e3": "1000", "100n": "0.0000001", "1.5Gi": "1610612736", ".5": "0.5", "5.": "5"} {
		q, err := parseQuantity(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, q.String(), s)
	}
	for _, s := range []string{"", "abc", "1e1000000", "1e999", "1 Gi", "0x10", strings.Repeat("9", 100), "1GB", "NaN", "{{ x }}", "1_000"} {
		_, err := parseQuantity(s)
		assert.Error(t, err, s)
	}
}

func TestDistance_SuggestsWhatAPersonMeant(t *testing.T) {
	for s, want := range map[string]string{"acne": "acme", "acem": "acme", "globexx": "globex", "zzz": "", "Acme": "acme"} {
		assert.Equal(t, want, nearest(s, []string{"acme", "globex"}), s)
	}
	assert.Empty(t, nearest(strings.Repeat("a", 100_000), []string{strings.Repeat("a", 99_999)}))
}

func TestClean_KeepsHarmlessTextAndBoundsTheRest(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "ünï😀": "ünï😀", "a\x1b[31mb": "a[31mb", "a\u202eb": "ab", " a \n\t b ": "a b", "\xffa": "a", strings.Repeat("x", 50): strings.Repeat("x", 19) + "…",
	} {
		assert.Equal(t, want, clean(in, 20))
	}
}

func TestPolicy_FindsEnvironments(t *testing.T) {
	p := DefaultPolicy()
	for path, want := range map[string]Environment{
		"prod/x.yaml": "prod", "clusters/production/shop/x.yaml": "prod", "dev/prod/x.yaml": "prod", "x-stage.yaml": "stage",
		"web.prd.yaml": "prod", "product/x.yaml": "", "x.yaml": "", "devtools/x.yaml": "", "a/STAGING/x.yaml": "stage",
	} {
		assert.Equal(t, want, p.byPath(path, ""), path)
	}
	p.Environments = []EnvironmentRule{{"qa", []string{"test/**"}, nil}, {"prod", nil, []string{"release/*"}}}
	assert.Equal(t, Environment("qa"), p.byPath("test/prod/x.yaml", ""))
	assert.Equal(t, Environment("prod"), p.byPath("x.yaml", "release/1"))
	assert.Equal(t, Environment("qa"), p.byPath("qa/x.yaml", "main"))
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"paths: {include: [\"**/*.yaml\"]}\n", "enforcement: {tenant/missing: warn}\n", "environments: [{name: prod, paths: [prod/**]}]\n", "tenantLabels: [a/b]\n", "paths: {include: ['{a,{b,c}}/[!x]/**/**/?']}\n", "budgets: {gate: block}\n", "[]", "a: &a [*a]"} {
		f.Add([]byte(s), "prod/web.yaml")
	}
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		s := NewSnapshot([]*File{Parse(PolicyFile, data)})
		p := s.Policy()
		if len(p.TenantLabels) == 0 {
			t.Fatal("a policy without a tenant label")
		}
		start := time.Now()
		p.covers(path)
		p.byPath(path, path)
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("took %s", took)
		}
	})
}
