# The page's verifier stands above this.
options = ENV.key?("NOW") ? { now: Time.at(ENV["NOW"].to_i) } : {}
begin
  verify_webhook(ENV.fetch("SECRET"), ENV, $stdin.binmode.read, **options)
  puts "verified"
rescue WebhookError => error
  puts "refused: #{error.message}"
  exit 3
end
