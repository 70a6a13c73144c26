package render

// sarifRuleOf describes a rule by its id alone.
func sarifRuleOf(id string) sarifRule {
	return sarifRule{
		ID:            id,
		Short:         sarifText{Text: "Conductor's rule " + id},
		Help:          &sarifText{Text: "Run: conductor explain " + id, Markdown: "Run `conductor explain " + id + "`."},
		Configuration: sarifDefault{Level: "error"},
	}
}
