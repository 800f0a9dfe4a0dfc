using System;
using System.IO;
using System.Security.Cryptography;

public static class Program
{
    public static int Main()
    {
        var body = new MemoryStream();
        Console.OpenStandardInput().CopyTo(body);
        string seconds = Environment.GetEnvironmentVariable("NOW");
        DateTimeOffset now = seconds == null
            ? DateTimeOffset.UtcNow
            : DateTimeOffset.FromUnixTimeSeconds(long.Parse(seconds));
        try
        {
            WebhookVerifier.Verify(
                Environment.GetEnvironmentVariable("SECRET"), Header, body.ToArray(), now);
        }
        catch (CryptographicException error)
        {
            Console.WriteLine("refused: " + error.Message);
            return 3;
        }
        Console.WriteLine("verified");
        return 0;
    }

    static string Header(string name)
    {
        return Environment.GetEnvironmentVariable("HTTP_" + name.ToUpperInvariant().Replace('-', '_'));
    }
}
