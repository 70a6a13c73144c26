package manifests_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

func TestREADME_ExamplesAreValidTogether(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var files []string
	for i, block := range strings.Split(string(text), "```yaml\n")[1:] {
		body, _, found := strings.Cut(block, "```")
		require.True(t, found)
		path := fmt.Sprintf("example-%d.yaml", i)
		if strings.HasPrefix(body, "# .conductor.yaml") {
			path = manifests.PolicyFile
		}
		files = append(files, path, body)
	}
	require.Len(t, files, 4)
	v := check(files...)
	assert.Empty(t, v.Findings)
	assert.Equal(t, "1 environment within budget", v.Budget.Title)
	assert.Empty(t, v.Cost.Unpriced)
}

func TestREADME_ListsEveryRule(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, r := range manifests.Rules() {
		assert.Contains(t, string(text), fmt.Sprintf("| `%s` | %s | %s | %s |\n", r.ID, r.Check, r.Default, r.Summary))
	}
}
