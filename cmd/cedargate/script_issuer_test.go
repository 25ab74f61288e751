package main

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cedargate/cedargate/pkg/authztest"
)

// theIssuer is the key under which a script keeps a **authztest.Issuer.
type theIssuer struct{}

// issuer starts an issuer whose URL is $ISSUER.
func issuer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: issuer")
	}
	i, err := authztest.NewIssuer(authztest.IssuerConfig{Algorithms: []string{"ES256"}, Audience: "https://mcp.example.com/mcp"})
	ts.Check(err)
	ts.Defer(func() { i.Close() })
	ts.Setenv("ISSUER", i.URL())
	*ts.Value(theIssuer{}).(**authztest.Issuer) = i
}

// mint writes a token of the issuer to a file: mint FILE JSON-of-claims
// [forged].
func mint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mint file claims [forged]")
	}
	var claims map[string]any
	ts.Check(json.Unmarshal([]byte(args[1]), &claims))
	var options []authztest.MintOption
	if len(args) > 2 {
		options = append(options, authztest.Forged())
	}
	raw := (*ts.Value(theIssuer{}).(**authztest.Issuer)).Mint(claims, options...)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(raw+"\n"), 0o600))
}

// hides fails if a part of the token in the first file stands in one of the
// others.
func hides(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: hides token-file file...")
	}
	for part := range strings.SplitSeq(strings.TrimSpace(ts.ReadFile(args[0])), ".") {
		for _, file := range args[1:] {
			if strings.Contains(ts.ReadFile(file), part[:10]) {
				ts.Fatalf("%s holds a part of the token", file)
			}
		}
	}
}
