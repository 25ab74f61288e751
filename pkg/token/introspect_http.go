package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

const (
	askTime       = 5 * time.Second // of one request, body included
	askBytes      = 1 << 20         // of one body, decompressed
	assertionTime = time.Minute     // of what proves who asks
)

// An asker sends what asks. It follows no redirect: neither token nor secret
// goes to where one leads.
type asker struct{ *http.Client }

func newAsker(transport http.RoundTripper, ca []byte) (asker, error) {
	if transport == nil {
		transport = http.DefaultTransport
	}
	if standard, ok := transport.(*http.Transport); ok {
		standard = standard.Clone()
		standard.MaxResponseHeaderBytes = 64 << 10
		standard.MaxIdleConnsPerHost = askBurst
		if len(ca) > 0 {
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(ca) {
				return asker{}, errors.New("CA: no certificate in PEM form")
			}
			standard.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		}
		transport = standard
	}
	return asker{&http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// checkEndpoint tells what is wrong with an endpoint: tokens and secrets go
// there, over https, or over http to this machine.
func checkEndpoint(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errors.New("the endpoint is no URL, or has a user or a fragment")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	loopback := strings.EqualFold(u.Hostname(), "localhost") || err == nil && addr.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return errors.New("the endpoint is neither https nor http to a loopback host")
	}
	return nil
}

// post asks once, RFC 7662 §2.1, and returns an object that says active or not.
// No error holds the token or the secret.
func (i *introspector) post(ctx context.Context, raw string) (strictjson.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	if i.Key != nil {
		assertion, err := i.assertion()
		if err != nil {
			return strictjson.Value{}, fmt.Errorf("signing: %w", err)
		}
		form.Set("client_id", i.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return strictjson.Value{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "cedargate")
	if i.Key == nil {
		request.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.Secret)) // RFC 6749 §2.3.1
	}
	response, err := i.client.Do(request)
	if err != nil {
		return strictjson.Value{}, err
	}
	defer response.Body.Close()
	return readAnswer(response)
}

// readAnswer reads the body of a 200, RFC 7662 §2.2.
func readAnswer(response *http.Response) (none strictjson.Value, err error) {
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return none, fmt.Errorf("status %d: the issuer does not let this client ask", response.StatusCode)
	default:
		return none, fmt.Errorf("status %d, want 200", response.StatusCode)
	}
	if media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return none, fmt.Errorf("content type %.80q, want application/json", response.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, askBytes+1))
	if err != nil {
		return none, err
	}
	if len(body) > askBytes {
		return none, fmt.Errorf("body of more than %d bytes", askBytes)
	}
	payload, err := strictjson.Parse(body, limits)
	if err != nil {
		return none, err
	}
	if payload.Get("active").Kind() != strictjson.Bool {
		return none, errors.New("active is neither true nor false")
	}
	return payload, nil
}

// assertion proves who asks, RFC 7523 §3. Its audience is the issuer, and no
// endpoint: another server that is told to be one could use it.
func (i *introspector) assertion() (string, error) {
	method, err := methodFor(i.Key)
	if err != nil {
		return "", err
	}
	now := i.now()
	return jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": i.ClientID, "sub": i.ClientID, "aud": i.issuer.Issuer,
		"jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionTime).Unix(),
	}).SignedString(i.Key)
}

// methodFor returns how key signs.
func methodFor(key crypto.Signer) (jwt.SigningMethod, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("RSA key of %d bits, want at least 2048", k.N.BitLen())
		}
		return jwt.SigningMethodRS256, nil
	case *ecdsa.PrivateKey:
		for _, method := range []*jwt.SigningMethodECDSA{jwt.SigningMethodES256, jwt.SigningMethodES384, jwt.SigningMethodES512} {
			if k.Curve.Params().BitSize == method.CurveBits {
				return method, nil
			}
		}
		return nil, fmt.Errorf("curve %s, want P-256, P-384 or P-521", k.Curve.Params().Name)
	case ed25519.PrivateKey:
		return jwt.SigningMethodEdDSA, nil
	}
	return nil, fmt.Errorf("key of type %T, want RSA, EC or Ed25519", key)
}

// ParseClientKey reads a private key for Introspection from a PEM file: PKCS #8,
// PKCS #1 or SEC 1, not encrypted. RSA signs with RS256, EC with the algorithm of
// its curve, Ed25519 with EdDSA. The error holds no part of the file.
func ParseClientKey(file []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue // EC PARAMETERS, a certificate
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, errors.New("the private key cannot be read")
		}
		_, err = methodFor(signer)
		return signer, err
	}
	return nil, errors.New("no private key in PEM form")
}
