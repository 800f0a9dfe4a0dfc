package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"example/webhooks"
)

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	header := http.Header{}
	for name, variable := range map[string]string{
		"webhook-id":        "HTTP_WEBHOOK_ID",
		"webhook-timestamp": "HTTP_WEBHOOK_TIMESTAMP",
		"webhook-signature": "HTTP_WEBHOOK_SIGNATURE",
	} {
		if value, ok := os.LookupEnv(variable); ok {
			header.Set(name, value)
		}
	}
	now := time.Now()
	if seconds, err := strconv.ParseInt(os.Getenv("NOW"), 10, 64); err == nil {
		now = time.Unix(seconds, 0)
	}
	if err := webhooks.Verify(os.Getenv("SECRET"), header, body, now); err != nil {
		fmt.Println("refused:", err)
		os.Exit(3)
	}
	fmt.Println("verified")
}
