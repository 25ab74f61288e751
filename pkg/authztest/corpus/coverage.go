package corpus

import (
	"fmt"
	"net/http"
	"regexp"

	"github.com/cedargate/cedargate/cedar"
)

// Coverage tells what the cases that are asked at level reach: which action
// they allow and deny, which reason and status they expect, and which
// credential they carry. The keys are those of Wanted.
func Coverage(cases []Case, level string) map[string]bool {
	reached := map[string]bool{}
	for _, c := range cases {
		if _, out := c.LeavesOut[level]; out {
			continue
		}
		reached["reason "+c.Expect.Reason] = true
		reached[fmt.Sprint("status ", c.Expect.Status)] = true
		if len(c.Authorization) == 0 {
			reached["credential "+c.Credential] = true
		}
		if c.Expect.Reason == "permitted" {
			reached["allow "+c.Expect.Action] = true
		} else {
			reached["deny "+c.Expect.Action] = true
		}
	}
	return reached
}

// Wanted is what a whole corpus reaches behind a proxy: every action of the
// schema, allowed and denied, and everything on the closed lists of statuses,
// reasons and credentials.
func Wanted() []string {
	var wanted []string
	for _, action := range actions() {
		wanted = append(wanted, "allow "+action, "deny "+action)
	}
	for _, status := range statuses {
		wanted = append(wanted, fmt.Sprint("status ", status))
	}
	for _, reason := range reasons {
		wanted = append(wanted, "reason "+reason)
	}
	for _, name := range Credentials() {
		wanted = append(wanted, "credential "+name)
	}
	return wanted
}

var (
	declaration = regexp.MustCompile(`(?s)action ([^;]*?) in \[[^]]*\] appliesTo`)
	quoted      = regexp.MustCompile(`"([^"]+)"`)
)

// actions are those of the schema that can be asked about; groups of actions
// apply to nothing.
func actions() []string {
	var all []string
	for _, d := range declaration.FindAllSubmatch(cedar.Schema, -1) {
		for _, name := range quoted.FindAllSubmatch(d[1], -1) {
			all = append(all, string(name[1]))
		}
	}
	return all
}

// statuses are those that may leave Cedargate.
var statuses = []int{
	http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
	http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
	http.StatusServiceUnavailable,
}

// reasons are in the order of the checks.
var reasons = []string{
	"metadata", "unknown_server", "http_method",
	"no_credential", "malformed_credential", "token_limit",
	"wrong_scheme", "malformed_token", "unknown_issuer", "issuer_not_for_server", "algorithm", "unknown_key",
	"bad_signature", "expired", "not_yet_valid", "audience_mismatch", "missing_claim", "token_type", "bound_token", "inactive_token",
	"invalid_dpop_proof", "use_dpop_nonce", "malformed_api_key", "unknown_api_key", "api_key_not_for_server",
	"issuer_unavailable", "key_unknown_yet", "deadline", "internal", "audit_unavailable", "body_not_forwarded",
	"malformed", "batch", "limit", "invalid_params", "header_mismatch", "unsupported_version",
	"body_limit", "partial_body", "media_type", "content_encoding",
	"argument_type", "argument_missing", "argument_case", "argument_undeclared", "groups_incomplete", "claim_unreadable", "source_unknown",
	"denied_by_policy", "no_permit", "policy_error", "permitted",
}
