import java.security.GeneralSecurityException;
import java.time.Instant;

final class Main {
    public static void main(String[] arguments) throws Exception {
        byte[] body = System.in.readAllBytes();
        String seconds = System.getenv("NOW");
        Instant now = seconds == null ? Instant.now() : Instant.ofEpochSecond(Long.parseLong(seconds));
        try {
            WebhookVerifier.verify(System.getenv("SECRET"), Main::header, body, now);
        } catch (GeneralSecurityException error) {
            System.out.println("refused: " + error.getMessage());
            System.exit(3);
        }
        System.out.println("verified");
    }

    private static String header(String name) {
        return System.getenv("HTTP_" + name.toUpperCase().replace('-', '_'));
    }
}
