package jwks_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
)

func ExampleSource() {
	login, err := authztest.NewIssuer(authztest.IssuerConfig{}) // in real life, a URL
	if err != nil {
		fmt.Println(err)
		return
	}
	defer login.Close()

	source, err := jwks.New(jwks.Config{Issuer: login.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go source.Run(ctx)

	key, err := source.Key(ctx, login.KeyID("ES256"), "ES256")
	fmt.Printf("%T %v\n", key, err)

	_, err = source.Key(ctx, "nobody", "ES256")
	var none *jwks.Error
	if errors.As(err, &none) {
		fmt.Println(none.KeyReason())
	}
	// Output:
	// *ecdsa.PublicKey <nil>
	// unknown_key
}
