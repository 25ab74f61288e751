package token_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
	"github.com/cedargate/cedargate/pkg/token"
)

func Example() {
	login, err := authztest.NewIssuer(authztest.IssuerConfig{}) // in real life, a URL
	if err != nil {
		fmt.Println(err)
		return
	}
	defer login.Close()

	keys, err := jwks.New(jwks.Config{Issuer: login.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := token.New(token.Config{Issuers: []token.Issuer{
		{Name: "corp", Issuer: login.URL(), GroupsClaims: []string{"groups"}, Keys: keys},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	accept := token.Accept{Issuers: []string{"corp"}, Audiences: []string{"https://mcp.example.com/mcp"}}

	for _, claims := range []map[string]any{{"groups": []string{"/eng/platform"}}, {"aud": "https://other.example.com"}} {
		raw, malformed := token.ParseAuthorization([]string{"Bearer " + login.Mint(claims)}, 0)
		if malformed != nil {
			fmt.Println(malformed)
			return
		}
		who, err := verifier.Verify(context.Background(), token.Credential{Raw: raw}, accept)
		var refused *token.Error
		if errors.As(err, &refused) {
			fmt.Println(refused.Reason, refused.Presented)
			continue
		}
		fmt.Println(who.Issuer, who.Subject, who.Groups)
	}
	// Output:
	// corp alice [/eng/platform /eng]
	// audience_mismatch https://other.example.com
}
