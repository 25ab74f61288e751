package token_test

import (
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/token"
)

var authorizationCases = []struct {
	name  string
	lines []string
	want  string
	fault token.Fault
	is    string // the reason; "" means that it is accepted
}{
	{"bearer", []string{"Bearer abc.def.ghi"}, "abc.def.ghi", 0, ""},
	{"any case", []string{"bEARER abc"}, "abc", 0, ""},
	{"several spaces", []string{"Bearer   abc"}, "abc", 0, ""},
	{"blanks around", []string{" \tBearer abc \t"}, "abc", 0, ""},
	{"visible ASCII", []string{"Bearer !\"#~"}, "!\"#~", 0, ""},
	{"at the limit", []string{"Bearer " + strings.Repeat("a", 20)}, strings.Repeat("a", 20), 0, ""},

	{"no field", nil, "", token.Missing, token.NoCredential},
	{"empty", []string{""}, "", token.Missing, token.NoCredential},
	{"blanks", []string{" \t "}, "", token.Missing, token.NoCredential},
	{"two empty ones", []string{"", " "}, "", token.Missing, token.NoCredential},
	{"scheme alone", []string{"Bearer"}, "", token.Missing, token.NoCredential},
	{"scheme and blanks", []string{"Bearer    "}, "", token.Missing, token.NoCredential},
	{"scheme and a tab", []string{"bearer \t"}, "", token.Missing, token.NoCredential},

	{"two fields", []string{"Bearer a", "Bearer a"}, "", token.Malformed, token.MalformedCredential},
	{"an empty field first", []string{"", "Bearer a"}, "", token.Malformed, token.MalformedCredential},
	{"two joined", []string{"Bearer a,Bearer b"}, "", token.Malformed, token.MalformedCredential},
	{"two joined, another scheme first", []string{"Basic YTpi, Bearer b"}, "", token.Malformed, token.MalformedCredential},
	{"a comma at the end", []string{"Bearer a,"}, "", token.Malformed, token.MalformedCredential},
	{"a blank inside", []string{"Bearer a b"}, "", token.Malformed, token.MalformedCredential},
	{"a tab inside", []string{"Bearer a\tb"}, "", token.Malformed, token.MalformedCredential},
	{"a tab for the space", []string{"Bearer\ta"}, "", token.Malformed, token.MalformedCredential},
	{"a line break", []string{"Bearer a\r\nX: y"}, "", token.Malformed, token.MalformedCredential},
	{"NUL", []string{"Bearer a\x00"}, "", token.Malformed, token.MalformedCredential},
	{"DEL", []string{"Bearer a\x7f"}, "", token.Malformed, token.MalformedCredential},
	{"non-ASCII", []string{"Bearer aé"}, "", token.Malformed, token.MalformedCredential},
	{"non-ASCII blank", []string{"Bearer\u00a0a"}, "", token.Malformed, token.MalformedCredential},
	{"over the limit", []string{"Bearer " + strings.Repeat("a", 21)}, "", token.Malformed, token.TokenLimit},

	{"basic", []string{"Basic YTpi"}, "", token.Invalid, token.WrongScheme},
	{"DPoP", []string{"DPoP abc"}, "", token.Invalid, token.WrongScheme},
	{"another scheme alone", []string{"Negotiate"}, "", token.Invalid, token.WrongScheme},
	{"a token without scheme", []string{"abc.def.ghi"}, "", token.Invalid, token.WrongScheme},
	{"no space", []string{"Bearer:abc"}, "", token.Invalid, token.WrongScheme},
	{"looks like the scheme", []string{"Bearer\u212a"}, "", token.Malformed, token.MalformedCredential},
}

func TestParseAuthorization(t *testing.T) {
	for _, test := range authorizationCases {
		t.Run(test.name, func(t *testing.T) {
			got, err := token.ParseAuthorization(test.lines, 20)
			if test.is == "" {
				if err != nil || got != test.want {
					t.Errorf("ParseAuthorization(%q) = %q, %v, want %q", test.lines, got, err, test.want)
				}
				return
			}
			if got != "" || err == nil || err.Reason != test.is || err.Fault != test.fault {
				t.Errorf("ParseAuthorization(%q) = %q, %+v, want %s", test.lines, got, err, test.is)
			}
		})
	}
}

func TestParseAuthorizationDefaultLimit(t *testing.T) {
	if _, err := token.ParseAuthorization([]string{"Bearer " + strings.Repeat("a", 16384)}, 0); err != nil {
		t.Errorf("ParseAuthorization of 16384 bytes: %v", err)
	}
	if _, err := token.ParseAuthorization([]string{"Bearer " + strings.Repeat("a", 16385)}, 0); err == nil || err.Reason != token.TokenLimit {
		t.Errorf("ParseAuthorization of 16385 bytes = %v, want %s", err, token.TokenLimit)
	}
}

// Invariant 8: whatever is wrong with a credential, no part of it is in the
// error.
func TestInvariant08NoCredentialInErrors(t *testing.T) {
	const secret = "s3cr3t"
	for _, line := range []string{
		secret, secret + " x", "Basic " + secret, "Bearer " + secret + ",", "Bearer " + secret + " x",
		"Bearer " + strings.Repeat(secret, 100), "Bearer \x00" + secret,
	} {
		_, err := token.ParseAuthorization([]string{line}, 100)
		if err == nil {
			t.Errorf("ParseAuthorization(%q) succeeded", line)
			continue
		}
		if strings.Contains(err.Error()+err.Presented, secret) {
			t.Errorf("ParseAuthorization(%q) = %v, presented %q: holds the credential", line, err, err.Presented)
		}
	}
}
