// Fiji: segments the image in front, opens its label image and puts the cells into the ROI manager.
// Set the two lines below, then: Plugins, Macros, Run...
python = "/path/to/cellpose-env/bin/python";
diameter = "0"; // pixels; 0: estimated

if (nImages == 0) exit("Open an image first.");
folder = getDirectory("temp") + "cellpose" + File.separator;
File.makeDirectory(folder);
title = replace(File.getNameWithoutExtension(getTitle()), "[^A-Za-z0-9_-]", "_");
run("Duplicate...", "title=" + title + " duplicate"); // the image itself keeps its name
saveAs("Tiff", folder + title + ".tif");
close();
said = exec(python, "-m", "cellpose", "--image_path", folder + title + ".tif", "--diameter", diameter, "--save_tif", "--no_npy", "--save_rois", "--exact_rois", "--verbose");
print(said);
if (!File.exists(folder + title + "_cp_masks.tif")) exit("cellpose failed; the log window says why.");
open(folder + title + "_cp_masks.tif");
run("glasbey on dark");
setMinAndMax(0, 255);
roiManager("reset");
if (File.exists(folder + title + "_rois.zip")) roiManager("Open", folder + title + "_rois.zip");
