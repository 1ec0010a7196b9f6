// Prints a login token. Usage: ROOKERY_KEY=… go run token.go APP USER
package main

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

func token(key string, app int, user string, expire int64) string {
	now := time.Now().Unix()
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "TLS.identifier:%s\nTLS.sdkappid:%d\nTLS.time:%d\nTLS.expire:%d\n", user, app, now, expire)
	parts, _ := json.Marshal(map[string]any{"TLS.ver": "2.0", "TLS.identifier": user, "TLS.sdkappid": app,
		"TLS.expire": expire, "TLS.time": now, "TLS.sig": base64.StdEncoding.EncodeToString(mac.Sum(nil))})
	var packed bytes.Buffer
	writer := zlib.NewWriter(&packed)
	writer.Write(parts)
	writer.Close()
	safe := strings.NewReplacer("+", "*", "/", "-", "=", "_")
	return safe.Replace(base64.StdEncoding.EncodeToString(packed.Bytes()))
}

func main() {
	app, _ := strconv.Atoi(os.Args[1])
	fmt.Println(token(os.Getenv("ROOKERY_KEY"), app, os.Args[2], 86400))
}
